// The proof of an answer in plain words.

import { $, el } from "./dom.js";
import { ago, duration, list, measureName, moment, plain } from "./format.js";
import { named, t } from "./words.js";

/** The state that the page shows for an answer: fresh, stale, incomplete or unknown. */
export function stateOf({ proof, missing }) {
  if (proof.state === "fresh" && (proof.missing ?? missing?.partitions ?? 0) > 0) return "incomplete";
  return ["fresh", "stale", "incomplete"].includes(proof.state) ? proof.state : "unknown";
}

function missingWords({ proof, missing }, measures) {
  const parts = [];
  const partitions = proof.missing ?? missing?.partitions ?? 0;
  if (partitions > 0) {
    const stores = missing?.stores > 0 ? t("proof.missingStores", { n: missing.stores }) : "";
    parts.push(t("proof.partitions", { n: partitions }) + stores);
  }
  for (const [name, n] of Object.entries(missing?.values ?? {})) {
    if (!(n > 0)) continue;
    const measure = measures.find((each) => each.name === name) ?? { name };
    parts.push(t("proof.missingValues", { n, measure: measureName(measure) }));
  }
  return parts.length > 0 ? list(parts) : t("proof.none");
}

/** Shows the proof of an answer that came `elapsed` seconds ago, in its `place`. */
export function showProof(answer, measures, elapsed = 0, place = $("proof")) {
  const { proof } = answer;
  const state = stateOf(answer);
  const age = proof.age ?? (proof.oldest ? Math.max(0, (Date.now() - Date.parse(proof.oldest)) / 1000 - elapsed) : null);
  const fact = (name, label, value, title) =>
    value === null ? null : el("div", { "data-proof": name }, el("dt", {}, label), el("dd", { title }, value));
  const covered = proof.covered ?? answer.covered ?? null;
  place.dataset.state = state;
  place.replaceChildren(
    el("p", {},
      el("strong", { class: "badge", "data-proof": "state" }, named("proof.state", state, plain(state))),
      ` ${named("proof.text", state, "")}`),
    el("dl", {},
      fact("tier", t("proof.served"), proof.tier && named("tier", proof.tier, proof.tier)),
      fact("level", t("proof.level"), proof.level && named("level", proof.level, proof.level)),
      fact("took", t("proof.took"), proof.took === null ? null : duration(proof.took)),
      fact("age", t("proof.age"), age === null ? null : t("proof.ago", { ago: ago(age + elapsed) }),
        proof.oldest ? moment(proof.oldest) : null),
      fact("covered", t("proof.covered"), covered === null ? null : t("proof.partitions", { n: covered })),
      fact("missing", t("proof.missing"), missingWords(answer, measures)),
      fact("refreshing", t("proof.refreshing"),
        proof.refreshing > 0 ? t("proof.parts", { n: proof.refreshing }) : t("proof.none")),
      fact("version", t("proof.version"), proof.version && el("code", {}, proof.version))),
  );
  for (const node of place.querySelectorAll("dd")) node.dataset.raw = raw(node, proof, covered);
}

// What a machine reads beside the words.
function raw(node, proof, covered) {
  const name = node.parentNode.dataset.proof;
  const value = name === "covered" ? covered : proof[name];
  return value === null || value === undefined ? "" : typeof value === "number" ? String(value) : value;
}
