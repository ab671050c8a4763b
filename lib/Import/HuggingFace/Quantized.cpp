//===- Quantized.cpp - checkpoints whose weights have scales beside them ----------------------===//
//
// quantization_config says how weights were made small. Two ways are known, by their tensors:
//
//   mxfp4   X_blocks [E, N, K / 32, 16] and X_scales [E, N, K / 32], both bytes, are the matrices X
//           [E, N, K] of experts: the products of gpt-oss as they are multiplied, not turned
//   fp8     X [N, K] in F8_E4M3 and X_scale_inv, a scale for each block of weight_block_size
//
// What is made of them is a table of tensors in which X has its shape and the type of the products;
// where it comes from is in TensorInfo::scaled.
//
//===----------------------------------------------------------------------------------------===//

#include "Quantized.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/IR/Builders.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

Quantization importer::readQuantization(Config &config) {
  Quantization result;
  config.onlyNull("compression_config", "quantised weights are not supported");
  Config *fields = config.child("quantization_config");
  if (!fields)
    return result;
  StringRef method = fields->string("quant_method", "");
  if (method == "mxfp4") {
    result.kind = Quantization::Mxfp4;
  } else if (method == "fp8") {
    result.kind = Quantization::Fp8;
    StringRef format = fields->string("fmt", "e4m3");
    if (format != "e4m3")
      fields->error("fmt", "expected e4m3, got " + quote(format));
    std::vector<double> block = fields->numbers("weight_block_size");
    auto isSize = [](double size) { return size >= 1 && size <= 65536 && size == int64_t(size); };
    if (block.size() != 2 || !isSize(block[0]) || !isSize(block[1]))
      fields->error("weight_block_size", "expected two sizes from 1 to 65536");
    else
      result.blockRows = int64_t(block[0]), result.blockColumns = int64_t(block[1]);
  } else {
    fields->error("quant_method", "expected mxfp4 or fp8, other quantised weights are not "
                                  "supported, got " +
                                      quote(method));
  }
  return result;
}

namespace {
class ScaledTensors {
public:
  ScaledTensors(mlir::MLIRContext *context, StringRef directory, const Quantization &quantization,
                TensorTable &tensors, Diagnostics &diagnostics)
      : builder(context), directory(directory), quantization(quantization), tensors(tensors),
        diagnostics(diagnostics) {}

  LogicalResult join();

private:
  LogicalResult joinBlocks(StringRef name);
  LogicalResult joinScaled(StringRef name);
  LogicalResult error(StringRef name, const Twine &text) {
    return diagnostics.error(directory, "tensor " + quote(name) + ": " + text);
  }

  mlir::Builder builder;
  StringRef directory;
  const Quantization &quantization;
  TensorTable &tensors;
  Diagnostics &diagnostics;
};
} // namespace

/// X_blocks and X_scales become X.
LogicalResult ScaledTensors::joinBlocks(StringRef name) {
  const TensorInfo *blocks = tensors.find((name + "_blocks").str());
  const TensorInfo *scales = tensors.find((name + "_scales").str());
  if (!scales)
    return error((name + "_scales").str(), "is missing");
  ArrayRef<int64_t> shape = blocks->shape;
  if (blocks->typeName != "U8" || shape.size() < 3 || shape.back() != 16 ||
      shape[shape.size() - 2] > maxWidth)
    return error((name + "_blocks").str(), "expected bytes [..., N, K / 32, 16], got " +
                                               blocks->typeName + " " + shapeText(shape));
  if (scales->typeName != "U8" || ArrayRef<int64_t>(scales->shape) != shape.drop_back())
    return error((name + "_scales").str(), "expected bytes " + shapeText(shape.drop_back()) +
                                               ", got " + scales->typeName + " " +
                                               shapeText(scales->shape));
  TensorInfo joined = *blocks;
  joined.shape.pop_back();
  joined.shape.back() *= 32;
  joined.typeName = "MXFP4";
  joined.elementType = builder.getBF16Type(); // nothing is lost
  auto scaled = std::make_shared<ScaledInfo>();
  scaled->scaling.halfBytes = true;
  scaled->scaling.columns = joined.shape.back();
  scaled->scaling.blockColumns = 32;
  scaled->scales = *scales;
  scaled->scaleType = builder.getI8Type();
  joined.scaled = std::move(scaled);
  tensors.remove((name + "_blocks").str());
  tensors.remove((name + "_scales").str());
  if (!tensors.add(name, std::move(joined)))
    return error(name, "expected it only in blocks");
  return success();
}

/// X gets the scales of X_scale_inv.
LogicalResult ScaledTensors::joinScaled(StringRef name) {
  std::string scaleName = (name + "_scale_inv").str();
  const TensorInfo *weight = tensors.find(name), *scales = tensors.find(scaleName);
  if (!weight)
    return error(name, "is missing, " + quote(scaleName) + " is for it");
  if (weight->typeName != "F8_E4M3" || weight->shape.size() != 2)
    return error(name, "expected a matrix of type F8_E4M3, got " + weight->typeName + " " +
                           shapeText(weight->shape));
  int64_t rows = divideCeil(weight->shape[0], quantization.blockRows);
  int64_t columns = divideCeil(weight->shape[1], quantization.blockColumns);
  bool isFloat = scales->elementType &&
                 isa<mlir::Float32Type, mlir::BFloat16Type, mlir::Float16Type>(scales->elementType);
  if (!isFloat || ArrayRef<int64_t>(scales->shape) != ArrayRef<int64_t>{rows, columns})
    return error(scaleName, "expected shape " + shapeText({rows, columns}) +
                                " of type F32, F16 or BF16, got " + scales->typeName + " " +
                                shapeText(scales->shape));
  TensorInfo joined = *weight;
  joined.elementType = builder.getF32Type();
  auto scaled = std::make_shared<ScaledInfo>();
  scaled->scaling.scales = tfm::getStorageFormat(scales->elementType);
  scaled->scaling.columns = joined.shape.back();
  scaled->scaling.blockRows = quantization.blockRows;
  scaled->scaling.blockColumns = quantization.blockColumns;
  scaled->scales = *scales;
  scaled->scaleType = scales->elementType;
  joined.scaled = std::move(scaled);
  tensors.remove(scaleName);
  tensors.remove(name);
  tensors.add(name, std::move(joined));
  return success();
}

LogicalResult ScaledTensors::join() {
  bool blocks = quantization.kind == Quantization::Mxfp4;
  std::vector<std::string> names;
  for (const auto &[name, info] : tensors)
    if (StringRef base = name; base.consume_back(blocks ? "_blocks" : "_scale_inv"))
      names.push_back(base.str());
  for (const std::string &name : names)
    if (failed(blocks ? joinBlocks(name) : joinScaled(name)))
      return failure();
  return success();
}

LogicalResult importer::joinScales(mlir::MLIRContext *context, StringRef directory,
                                   const Quantization &quantization, TensorTable &tensors,
                                   Diagnostics &diagnostics) {
  if (quantization.kind == Quantization::None)
    return success();
  return ScaledTensors(context, directory, quantization, tensors, diagnostics).join();
}
