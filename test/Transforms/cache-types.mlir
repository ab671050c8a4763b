// The caches have the type of the keys, or the one that is asked for, in a model and in a plain graph.
// RUN: ingot-opt %s --insert-kv-cache | FileCheck %s --check-prefix=KEYS
// RUN: ingot-opt %s --insert-kv-cache=cache=int8 | FileCheck %s --check-prefix=INT8
// RUN: ingot-opt %s --insert-kv-cache="transient=true cache=bf16" | FileCheck %s --check-prefix=BF16
// RUN: ingot-opt %s --insert-kv-cache="cache=bf16 round-queries=true" | FileCheck %s --check-prefix=QUERIES
// RUN: ingot-opt %s --insert-kv-cache="cache=f16 round-queries=true" | FileCheck %s --check-prefix=WIDE
// RUN: ingot-opt %s --pack-attention=cache=f16 | FileCheck %s --check-prefix=F16
// RUN: not ingot-opt %s --insert-kv-cache=cache=int4 2>&1 | FileCheck %s --check-prefix=ERROR
// RUN: not ingot-opt %s --pack-attention=cache=int4 2>&1 | FileCheck %s --check-prefix=ERROR
// RUN: not ingot-compile %s -o %t.ingot --cache=int4 2>&1 | FileCheck %s --check-prefix=OPTION

// KEYS: tfm.cache_append {{.*}} : {{.*}}<3x4x4xf32>, tensor<?x3x4xf32>
// INT8: tfm.cache_append {{.*}} : {{.*}}<3x4x4xi8>, tensor<?x3x4xf32>
// BF16: tfm.cache_create {{.*}} : {{.*}}<3x4x4xbf16>
// QUERIES: %[[Q:.*]] = arith.truncf {{.*}} : tensor<?x3x4xf32> to tensor<?x3x4xbf16>
// QUERIES: tfm.cache_append {{.*}} : {{.*}}<3x4x4xbf16>, tensor<?x3x4xf32>
// QUERIES: tfm.attention %[[Q]], {{.*}} : tensor<?x3x4xbf16>, {{.*}}<3x4x4xbf16> -> tensor<?x3x4xf32>
// WIDE-NOT: truncf
// WIDE: tfm.attention {{.*}} : tensor<?x3x4xf32>, {{.*}}<3x4x4xf16> -> tensor<?x3x4xf32>
// F16: tfm.cache_create {{.*}} : {{.*}}<3x4x4xf16>
// ERROR: cache type 'int4': expected f32, bf16, f16 or int8
// OPTION: --cache=int4: expected f32, bf16, f16 or int8
func.func @forward(%x: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  %o = tfm.attention %t, %t, %t causal : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %f = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%f : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  return %r : tensor<?x3x4xf32>
}
