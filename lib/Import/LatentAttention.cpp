//===- LatentAttention.cpp - attention on a latent --------------------------------------------===//
//
// DeepSeek's attention makes the keys and values of all heads from one latent c [S, r] per token,
// and one rotated key that the heads share. With W_k[h] and W_v[h] the parts of the up-projection,
//
//   score = q_plain[h] . (W_k[h] c) + q_rotated[h] . k_rotated
//         = (W_k[h]^T q_plain[h]) . c + q_rotated[h] . k_rotated
//   out[h] = sum of p (W_v[h] c) = W_v[h] (sum of p c)
//
// The second form of each is what is emitted here, for prefill and decode alike: attention of all
// heads on one key [c, k_rotated] and one value c per token. So the cache holds r + rotated
// elements a token, the value being the beginning of the key, instead of heads * (key + value), and
// no token's keys are ever expanded. It is the same function; products are associated differently
// than in the library.
//
//===----------------------------------------------------------------------------------------===//

#include "LayerEmitter.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

/// A matrix that is read along its columns: blocks, which lie along rows, are widened.
static Value asTurned(GraphBuilder &g, Value matrix) {
  auto type = cast<RankedTensorType>(matrix.getType());
  if (!isa<tfm::BlockType>(type.getElementType()))
    return matrix;
  return tfm::ConvertWeightOp::create(
      g.b, g.loc, RankedTensorType::get(type.getShape(), g.b.getF32Type()), matrix);
}

Value importer::emitLatentAttention(const LayerEmitter &emitter, const AttentionSpec &attention,
                                    Value x, Value cos, Value sin, Value scale) {
  GraphBuilder &g = emitter.g;
  const LatentSpec &latent = attention.latent;
  int64_t heads = attention.heads, rank = latent.rank, rotated = latent.rotated;
  int64_t plain = attention.headDim - rotated, valueSize = latent.valueSize;

  Value q = x;
  if (latent.queryRank)
    q = emitter.norm(attention.queryNorm, emitter.linear(latent.queryDown, latent.queryRank, x));
  q = emitter.linear(attention.query, heads * attention.headDim, q);
  Value joint = emitter.linear(attention.key, rank + rotated, x);
  std::string module = StringRef(attention.output.name).rsplit('.').first.str();
  GraphBuilder::At at(g, emitter.prefix + module);
  q = g.splitLast(q, attention.headDim);
  Value c = emitter.norm(attention.keyNorm, g.sliceLast(joint, 0, rank));
  Value sharedKey = g.splitLast(g.sliceLast(joint, rank, rotated), rotated);
  Value rotatedQuery = g.sliceLast(q, plain, rotated);
  {
    GraphBuilder::At at(g, emitter.prefix + module + ".rotary");
    rotatedQuery = g.rotate(rotatedQuery, cos, sin, attention.interleaved);
    sharedKey = g.rotate(sharedKey, cos, sin, attention.interleaved);
  }

  auto product = [&](Value rows, Value matrices, int64_t size, bool transposed) -> Value {
    return tfm::ExpertLinearOp::create(g.b, g.loc, g.f32({dynamic, heads, size}), rows, matrices,
                                       /*ids=*/Value(), /*bias=*/Value(),
                                       g.b.getI64IntegerAttr(heads),
                                       transposed ? g.b.getUnitAttr() : UnitAttr());
  };
  GraphBuilder::At upAt(g, emitter.prefix + attention.value.name);
  Value plainQuery = g.sliceLast(q, 0, plain), absorbed, toValues;
  if (latent.toKeys.empty()) {
    // The up-projection is [heads * (plain + valueSize), rank]: W_k[h], then W_v[h].
    std::string up = attention.value.name + ".weight";
    SmallVector<Value> keyParts, valueParts;
    int64_t rows = plain + valueSize;
    for (int64_t h = 0; h < heads; ++h) {
      auto part = [&](int64_t first, int64_t count) {
        return emitter.part(up, {heads * rows, rank}, (h * rows + first) * rank, {count, rank});
      };
      keyParts.push_back(asTurned(g, part(0, plain)));
      valueParts.push_back(part(plain, valueSize));
    }
    absorbed = product(plainQuery, emitter.join(keyParts, 1), rank, /*transposed=*/true);
    toValues = emitter.join(valueParts, 0);
  } else {
    absorbed =
        product(plainQuery,
                emitter.part(latent.toKeys, {heads, rank, plain}, 0, {heads * rank, plain}), rank,
                /*transposed=*/false);
    toValues =
        emitter.part(latent.toValues, {heads, valueSize, rank}, 0, {heads * valueSize, rank});
  }
  c = g.splitLast(c, rank);
  auto concat = [&](Value a, Value b) -> Value {
    return tensor::ConcatOp::create(g.b, g.loc, 2, ValueRange{a, b});
  };
  Value result;
  {
    GraphBuilder::At at(g, emitter.prefix + module);
    result = g.attention(concat(absorbed, rotatedQuery), concat(c, sharedKey), c, scale,
                         attention.softcap, attention.window);
  }
  return g.joinLast(product(g.splitLast(result, rank), toValues, valueSize,
                            /*transposed=*/false));
}
