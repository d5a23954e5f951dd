// The calls by their names in micro_mutable_op_resolver.h: written for these tests. It adds no more than it has room for.
#pragma once
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
namespace tflite {
class MicroOpResolver {};
template <unsigned int count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return Added(); }
  TfLiteStatus AddAveragePool2D() { return Added(); }
  TfLiteStatus AddConcatenation() { return Added(); }
  TfLiteStatus AddConv2D() { return Added(); }
  TfLiteStatus AddFullyConnected() { return Added(); }
  TfLiteStatus AddDepthwiseConv2D() { return Added(); }
  TfLiteStatus AddMaxPool2D() { return Added(); }
  TfLiteStatus AddReshape() { return Added(); }
  TfLiteStatus AddSoftmax() { return Added(); }

 private:
  TfLiteStatus Added() { return ++added_ <= count ? kTfLiteOk : kTfLiteError; }
  unsigned int added_ = 0;
};
}  // namespace tflite
