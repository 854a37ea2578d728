"""Prints a mixture: its manifest as a table with length histograms and a few rows; and the differences of two mixtures."""

import collections
from pathlib import Path

from data_mix.files import read_parquet
from data_mix.mixture_folder import manifest_errors, read_manifest
from data_mix.recognition import describe
from rewards.functions import text_of

_BARS = " ▁▂▃▄▅▆▇█"


def show(folder: str) -> str:
    """The manifest as a table, and three rows of each form, as text."""
    from data_mix.rows import read_file

    manifest = read_manifest(folder)
    with manifest_errors(folder):
        lines = _table(folder, manifest)
    by_form = collections.defaultdict(list)
    for row in read_file(Path(folder) / "train.parquet", first=2000):
        if len(by_form[row["form"]]) < 3:
            by_form[row["form"]].append(row)
    for form, rows in by_form.items():
        lines += ["", f"--- {form}"]
        for row in rows:
            lines.append(f"{text_of(row['prompt'])}\n  -> " + text_of(row["completion"]).replace("\n", "\n     "))
    return "\n".join(lines)


def _table(folder: str, manifest: dict) -> list[str]:
    """The manifest as lines: rows and lengths of each source and form, then the history of each source."""
    unit, total = manifest["length_unit"], sum(c["total"] for c in manifest["counts"])
    n_train, n_test = manifest["rows"]["train"], manifest["rows"]["test"]
    lines = [f"{folder}: {n_train} train rows, {n_test} test rows, seed {manifest['seed']}", ""]
    edges = sorted({int(edge) for c in manifest["counts"] for edge in c["histogram"]})
    head = f"{'source':<16}{'form':<12}{'rows':>9}{'share':>9}{'of ' + unit:>15}{'p50':>7}{'p95':>7}{'max':>7}"
    lines.append(f"{head}   lengths up to {', '.join(map(str, edges))}")
    for c in manifest["counts"]:
        row = f"{c['source']:<16}{c['form']:<12}{c['rows']:>9}{c['rows'] / n_train:>9.4f}{c['total'] / max(total, 1):>15.4f}"
        lines.append(f"{row}{c['p50']:>7}{c['p95']:>7}{c['max']:>7}   {_histogram(c['histogram'], edges)}")
    for name, source in manifest["sources"].items():
        lines += ["", *_history(name, source)]
    return lines


def diff(a: str, b: str) -> str:
    """The differences of two mixture folders, as text: config, versions, sources, counts, and the form of each problem."""
    one, two = read_manifest(a), read_manifest(b)
    with manifest_errors(a, b):
        return "\n".join([f"a: {a}", f"b: {b}", *_differences(a, one, b, two)])


def _differences(a: str, one: dict, b: str, two: dict) -> list[str]:
    lines = []
    for part in ("config", "versions"):
        keys = [*one[part], *(key for key in two[part] if key not in one[part])]
        changed = [(key, one[part].get(key), two[part].get(key)) for key in keys if one[part].get(key) != two[part].get(key)]
        lines += [f"{part}.{key}: {x} -> {y}" for key, x, y in changed]
    for name in sorted({*one["sources"], *two["sources"]}):
        x, y = (m["sources"].get(name, {}).get("origin") for m in (one, two))
        if x != y:
            lines.append(f"source {name}: {x} -> {y}")
    code = [manifest.get("code", {}) for manifest in (one, two)]
    lines += [f"{spec}: another version" for spec in code[0] if code[1].get(spec, code[0][spec]) != code[0][spec]]
    cells = [{(c["source"], c["form"]): c["rows"] for c in m["counts"]} for m in (one, two)]
    for cell in sorted({*cells[0], *cells[1]}):
        x, y = (counts.get(cell, 0) for counts in cells)
        if x != y:
            lines.append(f"rows {' '.join(cell)}: {x} -> {y}")
    for split in ("train", "test"):
        if one["sha256"][f"{split}.parquet"] == two["sha256"][f"{split}.parquet"]:
            lines.append(f"{split}: identical, byte for byte")
            continue
        x, y = (_forms_by_problem(folder, split) for folder in (a, b))
        both = x.keys() & y.keys()
        changed = sum(x[key] != y[key] for key in both)
        only_a, only_b = len(x) - len(both), len(y) - len(both)
        lines.append(
            f"{split}: {len(both)} problems in both ({changed} in another form), {only_a} only in a, {only_b} only in b"
        )
    return lines


def _forms_by_problem(folder: str, split: str) -> dict[str, tuple]:
    table = read_parquet(Path(folder) / f"{split}.parquet", ("problem_id", "form"), only=True)
    forms = collections.defaultdict(list)
    for id, form in zip(table["problem_id"].to_pylist(), table["form"].to_pylist(), strict=True):
        forms[id].append(form)
    return {id: tuple(sorted(found)) for id, found in forms.items()}


def _histogram(bins: dict[str, int], edges: list[int]) -> str:
    highest = max(bins.values())
    return "".join(_BARS[-(-8 * bins.get(str(edge), 0) // highest)] for edge in edges)


def _history(name: str, source: dict) -> list[str]:
    """The origin of a source's problems, the number kept and removed at each stage, and the first of those removed."""
    if "drawn" in source:
        lines = [f"{name}: {source['drawn']} drawn"]
    else:
        origin = source["origin"]
        lines = [f"{name}: {source['problems']} problems from {origin.get('path') or origin['hub']}"]
        lines[0] += f", {source['broken']} broken" if source["broken"] else ""
    gold = source.get("gold")
    if gold:
        wrong = f"{len(gold['wrong'])} judged wrong and dropped: {_first(gold['wrong'])}" if gold["wrong"] else "all correct"
        lines.append(f"  {gold['checked']} gold completions checked, {wrong}")
    conflicts = source.get("same_text_other_answer", [])
    if conflicts:
        pairs = [f"{overlap['id']} and {overlap['other']} of {overlap['where']}" for overlap in conflicts]
        lines.append(f"  {len(conflicts)} kept that have the text of another problem but a different answer: {_first(pairs)}")
    removed = source.get("removed", [])
    if removed:
        counts = collections.Counter((overlap["where"], overlap["reason"]) for overlap in removed)
        lines[0] += f", {len(removed)} removed for overlap"
        lines += [f"  {count} in {where} by {reason}" for (where, reason), count in sorted(counts.items())]
        same = [overlap for overlap in removed if overlap["reason"] == "text"]
        lines += [f"  {overlap['id']} is {overlap['other']} of {overlap['where']}" for overlap in same[:10]]
    if source.get("incomplete"):
        lines[0] += f", {source['incomplete']} lack a form"
    if "recognition" in source:
        lines.append(f"  {describe(source['recognition'])}")
    if "overlap" in source:
        lines.append(f"  {source['overlap']}")
    if source.get("over_limit"):
        lines[0] += f", {source['over_limit']} over the token limit"
    lines[0] += f"; {source['left']} left"
    return lines


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:10]) + (", ..." if len(ids) > 10 else "")
