// An interpreter that gives what STUB_OUTPUT, a file, holds, and keeps its input in STUB_INPUT: written for these tests.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "micro_mutable_op_resolver.h"
#include "../schema/schema_generated.h"
union TfLitePtrUnion { int8_t* int8; float* f; char* raw; void* data; };
struct TfLiteTensor { TfLitePtrUnion data; size_t bytes; };
namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t* arena, size_t size) : size_(size) {
    misaligned_ = reinterpret_cast<uintptr_t>(arena) % 16;
  }
  TfLiteStatus AllocateTensors() {
    input_.data.data = in_;
    input_.bytes = atoi(getenv("STUB_INPUT_BYTES"));
    output_.data.data = out_;
    FILE* file = fopen(getenv("STUB_OUTPUT"), "rb");
    output_.bytes = fread(out_, 1, sizeof(out_), file);
    fclose(file);
    return misaligned_ || size_ < 1000 ? kTfLiteError : kTfLiteOk;
  }
  TfLiteStatus Invoke() {
    FILE* file = fopen(getenv("STUB_INPUT"), "wb");
    fwrite(in_, 1, input_.bytes, file);
    fclose(file);
    return kTfLiteOk;
  }
  TfLiteTensor* input(size_t) { return &input_; }
  TfLiteTensor* output(size_t) { return &output_; }
  size_t arena_used_bytes() const { return 1234; }

 private:
  size_t size_;
  uintptr_t misaligned_;
  alignas(16) unsigned char in_[8192];
  alignas(16) unsigned char out_[8192];
  TfLiteTensor input_, output_;
};
}  // namespace tflite
