// A TFLite external delegate for the tests: takes every float SOFTMAX and computes it here.
// Options: factor=F multiplies what comes out; takes=none takes nothing; any other key is refused with a message.
// The structs are TensorFlow Lite's, tensorflow/lite/core/c/common.h, as far as they are used.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

struct IntArray { int size; int data[]; };
struct Tensor {
  int type; void* data; IntArray* dims; float scale; int32_t zero_point; int allocation; size_t bytes;
  const void* allocated; const char* name; void* delegate; int buffer; bool stale, variable;
  int quantization; void* quantization_params; void* sparsity; IntArray* signature;
};
struct Node { IntArray* inputs; IntArray* outputs; };
struct Context;
struct Delegate;
struct Registration {
  void* (*init)(Context*, const char*, size_t); void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*); int (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code; const char* custom_name; int version; void* rest[8];
};
struct Context {
  size_t tensors_size; int (*GetExecutionPlan)(Context*, IntArray**); Tensor* tensors; void* impl;
  void* resize; void* report; void* add;
  int (*GetNodeAndRegistration)(Context*, int, Node**, Registration**);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration, const IntArray*, Delegate*);
};
struct Delegate {
  void* data; int (*Prepare)(Context*, Delegate*); void* copy_from; void* copy_to; void* free_buffer;
  int64_t flags; void* rest[2];
  bool takes;
};
static const int kSoftmax = 25, kFloat32 = 1, kOk = 0, kDelegate = 51;
static float factor = 1;

static int invoke(Context* context, Node* node) {
  const Tensor& in = context->tensors[node->inputs->data[0]];
  Tensor& out = context->tensors[node->outputs->data[0]];
  const float* x = static_cast<const float*>(in.data);
  float* y = static_cast<float*>(out.data);
  const size_t width = in.dims->data[in.dims->size - 1], rows = in.bytes / sizeof(float) / width;
  for (size_t row = 0; row < rows; ++row, x += width, y += width) {
    float most = x[0], sum = 0;
    for (size_t i = 1; i < width; ++i) most = std::fmax(most, x[i]);
    for (size_t i = 0; i < width; ++i) sum += y[i] = std::exp(x[i] - most);
    for (size_t i = 0; i < width; ++i) y[i] *= factor / sum;
  }
  return kOk;
}

static int prepare(Context* context, Delegate* delegate) {
  IntArray* plan;
  if (!delegate->takes || context->GetExecutionPlan(context, &plan) != kOk) return kOk;
  std::vector<int> mine{0};
  for (int i = 0; i < plan->size; ++i) {
    Node* node;
    Registration* registration;
    context->GetNodeAndRegistration(context, plan->data[i], &node, &registration);
    if (registration->builtin_code == kSoftmax && context->tensors[node->inputs->data[0]].type == kFloat32) {
      mine.push_back(plan->data[i]);
    }
  }
  mine[0] = static_cast<int>(mine.size()) - 1;
  Registration kernel{};
  kernel.invoke = invoke;
  kernel.builtin_code = kDelegate;
  kernel.custom_name = "SoftmaxDelegate";
  kernel.version = 1;
  return context->ReplaceNodeSubsetsWithDelegateKernels(
      context, kernel, reinterpret_cast<IntArray*>(mine.data()), delegate);
}

extern "C" void* tflite_plugin_create_delegate(
    const char* const* keys, const char* const* values, size_t count, void (*report)(const char*)) {
  Delegate* delegate = static_cast<Delegate*>(std::calloc(1, sizeof(Delegate)));
  delegate->Prepare = prepare;
  delegate->takes = true;
  factor = 1;
  for (size_t i = 0; i < count; ++i) {
    if (!std::strcmp(keys[i], "factor")) {
      factor = std::atof(values[i]);
    } else if (!std::strcmp(keys[i], "takes")) {
      delegate->takes = false;
    } else {
      report("it knows no option ");
      report(keys[i]);
      std::free(delegate);
      return nullptr;
    }
  }
  return delegate;
}

extern "C" void tflite_plugin_destroy_delegate(void* delegate) { std::free(delegate); }
