"""schema_diff - compares two JSON Schemas by what they allow, each with the document that it refers into."""

# What explains and does not constrain; and rules between members, which a function's table has no words for.
NOT_COMPARED = {"description", "title", "example", "examples", "default", "discriminator", "format", "$schema",
                "$id", "$defs", "$comment", "if", "then", "else", "dependentSchemas"}


def follow(node, root):
    """References at the top followed; `const` and a single `enum` are the same, so are oneOf and anyOf here."""
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


def kind(node, root):
    """What to sort alternatives by."""
    node = follow(node, root)
    function = node.get("properties", {}).get("function")
    return str(function and follow(function, root).get("enum")) + str(sorted(node.get("properties", {})))


def differences(a, root_a, b, root_b, where="", seen=None):
    """A list of sentences; empty for schemas that are the same. A word in one of them alone is "only in" it."""
    seen = set() if seen is None else seen
    if (id(a), id(b)) in seen:
        return []
    seen.add((id(a), id(b)))
    a, b = follow(a, root_a), follow(b, root_b)
    found = []
    for word in sorted(set(a) | set(b)):
        at = f"{where}/{word}"
        if word not in a or word not in b:
            only = "the second" if word not in a else "the first"
            found.append(f"{at} is only in {only}: {a.get(word, b.get(word))}")
        elif word == "properties":
            if set(a[word]) != set(b[word]):
                found.append(f"{at}: {sorted(a[word])} and {sorted(b[word])}")
            for name in set(a[word]) & set(b[word]):
                found += differences(a[word][name], root_a, b[word][name], root_b, f"{where}/{name}", seen)
        elif word in ("items", "additionalProperties") and isinstance(a[word], dict) and isinstance(b[word], dict):
            found += differences(a[word], root_a, b[word], root_b, at, seen)
        elif word == "oneOf":
            pairs = (sorted(a[word], key=lambda n: kind(n, root_a)), sorted(b[word], key=lambda n: kind(n, root_b)))
            if len(a[word]) != len(b[word]):
                found.append(f"{at}: {len(a[word])} and {len(b[word])} alternatives")
            for i, (one, other) in enumerate(zip(*pairs)):
                found += differences(one, root_a, other, root_b, f"{at}/{i}", seen)
        elif word in ("required", "enum", "type") and isinstance(a[word], list) and isinstance(b[word], list):
            if sorted(map(str, a[word])) != sorted(map(str, b[word])):
                found.append(f"{at}: {a[word]} and {b[word]}")
        elif a[word] != b[word]:
            found.append(f"{at}: {a[word]} and {b[word]}")
    return found
