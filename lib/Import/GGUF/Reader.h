//===- Reader.h - fills a DecoderSpec from a GGUF file -----------------------------*- C++ -*-===//
//
// The one object that the files of this folder fill structures with: sizes, norms and layers
// (Architectures.cpp), positions (Positions.cpp), mixtures and latent attention (Experts.cpp).
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_READER_H
#define INGOT_LIB_IMPORT_GGUF_READER_H

#include "Metadata.h"
#include "Table.h"

namespace ingot::importer {

class GGUFStructure {
public:
  GGUFStructure(Metadata &metadata, Checkpoint &checkpoint, DecoderSpec &spec)
      : metadata(metadata), checkpoint(checkpoint), spec(spec) {}

  void read();

private:
  using StringRef = llvm::StringRef;

  /// A tensor of the layer that is being read, by its role.
  const TensorInfo *find(StringRef role) const {
    return checkpoint.tensors.find(("blk." + llvm::Twine(layer) + "." + role).str());
  }
  bool has(StringRef role) const { return find((role + ".weight").str()); }
  std::string nameOf(StringRef role) const { return ("blk.*." + role).str(); }
  LinearSpec linear(StringRef role) const {
    LinearSpec result;
    result.name = nameOf(role);
    result.bias = find((role + ".bias").str());
    return result;
  }
  NormSpec normOf(StringRef role) const;
  NormSpec normOfHeads(StringRef role) const;
  FeedForwardSpec feedForwardOf(StringRef suffix) const;
  void error(const llvm::Twine &tensor, const llvm::Twine &text) {
    (void)metadata.getDiagnostics().error(metadata.getFile(),
                                          "tensor " + quote(tensor.str()) + ": " + text);
  }

  // Architectures.cpp
  void split(StringRef role, llvm::ArrayRef<std::pair<StringRef, int64_t>> parts);
  std::vector<float> readFloats(StringRef name, int64_t count);
  void readSizes();
  void readNorm();
  void readEnds();
  void readLayer(LayerSpec &result);
  void readScales();

  // Positions.cpp
  size_t addRotary(RotaryTable table);
  RotaryScaling readScaling(double &magnitude);
  void readRotaries();
  void readAlibi();
  void readWindows();

  // Experts.cpp
  void readMixture(LayerSpec &result);
  void readLatentSizes();
  void readLatent(AttentionSpec &attention);

  Metadata &metadata;
  Checkpoint &checkpoint;
  DecoderSpec &spec;
  const Architecture *architecture = nullptr;
  NormSpec norm;
  size_t layer = 0;
  std::vector<int64_t> heads, kvHeads, feedForwards;
  int64_t headDim = 0;
  /// What scaled positions multiply the scores of latent attention by.
  double latentScale = 1;
  LatentSpec latent;
  std::optional<size_t> rotary, localRotary;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_READER_H
