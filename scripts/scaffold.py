#!/usr/bin/env python3
"""Starts a new pass or operation: every file that one needs, to be filled in.

    scripts/scaffold.py pass fuse-thing "turns things into a thing"
    scripts/scaffold.py op thing "what it computes"
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def camel(name):
    return "".join(part.capitalize() for part in re.split(r"[-_]", name))


def write_new(path, text):
    if path.exists():
        sys.exit(f"error: {path.relative_to(ROOT)} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"wrote {path.relative_to(ROOT)}")


def insert_before(path, marker, text):
    old = path.read_text()
    if marker not in old:
        sys.exit(f"error: {path.relative_to(ROOT)} has no '{marker}'")
    head, tail = old.rsplit(marker, 1)
    path.write_text(head + text + marker + tail)
    print(f"edited {path.relative_to(ROOT)}")


def banner(file, subject):
    line = f"//===- {file} - {subject} "
    return line + "-" * max(3, 96 - len(line)) + "===//"


def new_pass(flag, summary):
    name = camel(flag)
    write_new(ROOT / f"lib/Transforms/{name}.cpp", f"""{banner(name + ".cpp", summary)}

#include "ingot/Transforms/Passes.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace ingot {{
#define GEN_PASS_DEF_{name.upper()}
#include "ingot/Transforms/Passes.h.inc"
}} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {{
struct {name}Pattern : OpRewritePattern<LinearOp> {{
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(LinearOp op, PatternRewriter &rewriter) const override {{
    return rewriter.notifyMatchFailure(op, "why not");
  }}
}};

struct {name}Pass : ingot::impl::{name}Base<{name}Pass> {{
  void runOnOperation() override {{
    RewritePatternSet patterns(&getContext());
    patterns.add<{name}Pattern>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }}
}};
}} // namespace
""")
    write_new(ROOT / f"test/Transforms/{flag}.mlir", f"""// RUN: ingot-opt %s --{flag} | FileCheck %s

// CHECK-LABEL: func.func @positive
func.func @positive(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {{
  // CHECK: return
  return %x : tensor<?x8xf32>
}}

// CHECK-LABEL: func.func @negative_reason
func.func @negative_reason(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {{
  // CHECK: return
  return %x : tensor<?x8xf32>
}}
""")
    insert_before(ROOT / "include/ingot/Transforms/Passes.td", "#endif // INGOT_TRANSFORMS_PASSES_TD", f"""def {name} : Pass<"{flag}", "::mlir::func::FuncOp"> {{
  let summary = "{summary}";
  let description = [{{
    What it does, and when it does not.

    ```mlir
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {{
      return %x : tensor<?x8xf32>
    }}
    ```
    becomes
    ```mlir
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {{
      return %x : tensor<?x8xf32>
    }}
    ```

    Numerics: what changes.
  }}];
  let statistics = [Statistic<"numRewritten", "rewritten", "what was rewritten">];
}}

""")
    cmake = ROOT / "lib/Transforms/CMakeLists.txt"
    sources = sorted(set(re.findall(r"\w+\.cpp", cmake.read_text())) | {f"{name}.cpp"}, key=str.lower)
    cmake.write_text(re.sub(r"(\s+\w+\.cpp)+", "\n  " + "\n  ".join(sources), cmake.read_text(), count=1))
    print("edited lib/Transforms/CMakeLists.txt; add the pass to lib/Pipeline/Pipeline.cpp where it belongs")


def new_op(name, summary):
    insert_before(ROOT / "include/ingot/Dialect/Transformer/IR/TransformerOps.td", "#endif // INGOT_DIALECT_TRANSFORMER_OPS_TD", f"""def Transformer_{camel(name)}Op : Transformer_Op<"{name}", [Pure, AllTypesMatch<["x", "result"]>]> {{
  let summary = "{summary}";
  let description = [{{
    The formula.

    - C1: what holds of the shapes.

    Numerics: the order of what is summed.

    ```mlir
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {{
      %0 = tfm.{name} %x : tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }}
    ```
  }}];
  let arguments = (ins Arg<Transformer_FloatTensor, "what it is">:$x);
  let results = (outs Res<Transformer_FloatTensor, "what it is">:$result);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}}

""")
    print("next: verifier and interfaces in lib/Dialect/Transformer/IR, the interpreter in lib/Reference, code in lib/CodeGen,\n"
          "tests in test/Dialect/Transformer/{ops,invalid}.mlir")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("pass", "op"):
        sys.exit(__doc__)
    pattern = r"[a-z][a-z0-9]*(-[a-z0-9]+)*" if sys.argv[1] == "pass" else r"[a-z][a-z0-9_]*"
    if not re.fullmatch(pattern, sys.argv[2]):
        sys.exit(f"error: '{sys.argv[2]}': expected a name like {'fuse-thing' if sys.argv[1] == 'pass' else 'thing'}")
    (new_pass if sys.argv[1] == "pass" else new_op)(sys.argv[2], sys.argv[3])
