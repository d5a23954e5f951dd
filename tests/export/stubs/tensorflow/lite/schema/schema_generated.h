// As much of the schema as a sketch uses: written for these tests.
#pragma once
#include <stdint.h>
#include <stdlib.h>
#define TFLITE_SCHEMA_VERSION 3
namespace tflite {
struct Model { uint32_t version() const { return getenv("STUB_VERSION") ? 2 : 3; } };
inline const Model* GetModel(const void*) { static Model model; return &model; }
}  // namespace tflite
