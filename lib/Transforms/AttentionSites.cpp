//===- AttentionSites.cpp - the record of raise-attention -----------------------------------===//

#include "ingot/Transforms/AttentionSites.h"
#include "mlir/IR/Builders.h"
#include <iterator>

using namespace mlir;

namespace ingot {

static constexpr llvm::StringLiteral kReasons[] = {
    "none",      "no-values", "between-and-values", "selection", "other-axis",
    "no-scores", "layout",    "dynamic-heads",      "no-softmax"};

StringRef stringifyNotRaised(NotRaised reason) { return kReasons[unsigned(reason)]; }

void setAttentionSites(ModuleOp module, ArrayRef<AttentionSite> sites) {
  Builder builder(module.getContext());
  SmallVector<Attribute> records;
  for (const AttentionSite &site : sites) {
    NamedAttrList record;
    record.set("function", builder.getStringAttr(site.function));
    record.set("calls", builder.getI64IntegerAttr(site.calls));
    record.set("location", builder.getStringAttr(site.location));
    record.set("reason", builder.getStringAttr(stringifyNotRaised(site.reason)));
    record.set("detail", builder.getStringAttr(site.detail));
    records.push_back(record.getDictionary(module.getContext()));
  }
  if (records.empty())
    module->removeAttr(kAttentionSitesAttrName);
  else
    module->setAttr(kAttentionSitesAttrName, builder.getArrayAttr(records));
}

SmallVector<AttentionSite> getAttentionSites(ModuleOp module) {
  SmallVector<AttentionSite> sites;
  auto records = module->getAttrOfType<ArrayAttr>(kAttentionSitesAttrName);
  if (!records)
    return sites;
  for (auto record : records.getAsRange<DictionaryAttr>()) {
    // The attribute may come from a file: what is not as written above reads as empty.
    auto text = [&](StringRef name) -> StringRef {
      auto attr = record.getAs<StringAttr>(name);
      return attr ? attr.getValue() : StringRef();
    };
    AttentionSite &site = sites.emplace_back();
    site.function = text("function");
    site.location = text("location");
    site.detail = text("detail");
    const auto *reason = llvm::find(kReasons, text("reason"));
    if (reason != std::end(kReasons))
      site.reason = NotRaised(reason - std::begin(kReasons));
    if (auto calls = record.getAs<IntegerAttr>("calls"))
      site.calls = calls.getValue().getSExtValue();
  }
  return sites;
}

} // namespace ingot
