// RUN: ingot-opt %s -split-input-file --check-caches -verify-diagnostics

// Each version is appended to once, and read before that.
func.func @linear(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> !tfm.cache<2x4x4xf32> {
  %0 = tfm.attention %q, %c batch(%b) causal : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  %c1 = tfm.cache_append %c, %0, %0 batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  %c2 = tfm.cache_append %c1, %0, %0 batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  return %c2 : !tfm.cache<2x4x4xf32>
}

// -----

func.func @negative_two_appends(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) {
  // expected-note @+1 {{see 'tfm.cache_append'}}
  %c1 = tfm.cache_append %c, %q, %q batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  // expected-error @+1 {{appends to a version of a cache that was appended to before}}
  %c2 = tfm.cache_append %c, %q, %q batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  return
}

// -----

func.func @negative_late_read(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) {
  // expected-note @+1 {{see 'tfm.cache_append'}}
  %c1 = tfm.cache_append %c, %q, %q batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  // expected-error @+1 {{reads a version of a cache after the next was made}}
  %0 = tfm.attention %q, %c batch(%b) causal : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  return
}

// -----

func.func @negative_returns_old(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> !tfm.cache<2x4x4xf32> {
  %c1 = tfm.cache_append %c, %q, %q batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  // expected-error @+1 {{returns a version of a cache that was appended to}}
  return %c : !tfm.cache<2x4x4xf32>
}
