"""schema_diff - compares the constraints of two JSON Schemas, each within its own document."""

# Keywords that a type table cannot express: annotations, and conditions between members.
NOT_COMPARED = {"description", "title", "example", "examples", "default", "discriminator", "format", "$schema",
                "$id", "$defs", "$comment", "if", "then", "else", "dependentSchemas"}


def dereference(node, root):
    """Follows top-level references, and normalizes equivalent keywords: const to enum, anyOf to oneOf."""
    while "$ref" in node:
        target = root
        for step in node["$ref"].removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    node = {k: v for k, v in node.items() if k not in NOT_COMPARED}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "anyOf" in node:
        node["oneOf"] = node.pop("anyOf")
    if "enum" in node:
        node.pop("type", None)
    if node.get("minItems") == 0:
        del node["minItems"]
    return node


def sort_key(node, root):
    """The key by which the alternatives of a oneOf are sorted."""
    node = dereference(node, root)
    function = node.get("properties", {}).get("function")
    return str(function and dereference(function, root).get("enum")) + str(sorted(node.get("properties", {})))


def differences(a, root_a, b, root_b, path="", seen=None):
    """A list of differences as text; empty for equal schemas."""
    seen = set() if seen is None else seen
    if (id(a), id(b)) in seen:
        return []
    seen.add((id(a), id(b)))
    a, b = dereference(a, root_a), dereference(b, root_b)
    found = []
    for keyword in sorted(set(a) | set(b)):
        location = f"{path}/{keyword}"
        if keyword not in a or keyword not in b:
            only = "the second" if keyword not in a else "the first"
            found.append(f"{location} is only in {only}: {a.get(keyword, b.get(keyword))}")
        elif keyword == "properties":
            if set(a[keyword]) != set(b[keyword]):
                found.append(f"{location}: {sorted(a[keyword])} and {sorted(b[keyword])}")
            for name in set(a[keyword]) & set(b[keyword]):
                found += differences(a[keyword][name], root_a, b[keyword][name], root_b, f"{path}/{name}", seen)
        elif keyword in ("items", "additionalProperties") and \
                isinstance(a[keyword], dict) and isinstance(b[keyword], dict):
            found += differences(a[keyword], root_a, b[keyword], root_b, location, seen)
        elif keyword == "oneOf":
            pairs = (sorted(a[keyword], key=lambda n: sort_key(n, root_a)),
                     sorted(b[keyword], key=lambda n: sort_key(n, root_b)))
            if len(a[keyword]) != len(b[keyword]):
                found.append(f"{location}: {len(a[keyword])} and {len(b[keyword])} alternatives")
            for i, (one, other) in enumerate(zip(*pairs)):
                found += differences(one, root_a, other, root_b, f"{location}/{i}", seen)
        elif keyword in ("required", "enum", "type") and isinstance(a[keyword], list) and isinstance(b[keyword], list):
            if sorted(map(str, a[keyword])) != sorted(map(str, b[keyword])):
                found.append(f"{location}: {a[keyword]} and {b[keyword]}")
        elif a[keyword] != b[keyword]:
            found.append(f"{location}: {a[keyword]} and {b[keyword]}")
    return found
