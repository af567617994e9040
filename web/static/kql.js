// Building queries from clicks: one clause for a field and a value, joined to what is already asked.

const quoted = (value) => `"${String(value).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n").replace(/\r/g, "\\r").replace(/\t/g, "\\t")}"`;

export function clause(field, value) {
  if (typeof value === "number" || typeof value === "boolean") return value < 0 ? `${field}:"${value}"` : `${field}:${value}`;
  return `${field}:${quoted(value)}`;
}

// `query` narrowed to `added`; brackets only where an "or" in the query would otherwise bind more loosely.
export function narrowed(query, added, { negate = false } = {}) {
  const wanted = negate ? `not ${added}` : added;
  const asked = query.trim();
  if (!asked) return wanted;
  if (asked === wanted || asked.endsWith(` and ${wanted}`)) return asked;
  return `${/\bor\b/i.test(asked) ? `(${asked})` : asked} and ${wanted}`;
}

// A document's leaves as [dotted field, value], arrays of objects included (entities.id twice for two entities).
export function leaves(document, prefix = "") {
  const found = [];
  for (const [name, value] of Object.entries(document)) {
    const field = prefix ? `${prefix}.${name}` : name;
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && typeof item === "object") found.push(...leaves(item, field));
      else if (item !== null && item !== "") found.push([field, item]);
    }
  }
  return found;
}
