"""YAML configs and their `base`."""

import pytest

from data_mix.errors import InputError
from data_mix.mapping import read_mapping


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_a_file_overrides_the_fields_of_its_base(tmp_path):
    write(
        tmp_path,
        root="seed: 0\nmodel: {width: 128, rope: {theta: 1, factor: 2}}\nsources: [{d: 16}, {d: 8}]\np_cot: 0.25\n",
        study__middle="base: ../root.yaml\nmodel: {rope: {factor: 4}}\np_cot: null\n",
        study__leaf="base: middle.yaml\nmodel: {depth: 2}\nsources: [{d: 50}]\nseed: 1\n",
    )
    assert read_mapping(tmp_path / "study" / "leaf.yaml") == {
        "seed": 1,
        "model": {"width": 128, "depth": 2, "rope": {"theta": 1, "factor": 4}},
        "sources": [{"d": 50}],
        "p_cot": None,
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "leaf.yaml: no such file"),
        ({"leaf": "[1]"}, "leaf.yaml: must be a YAML mapping of fields"),
        ({"leaf": "a: ["}, "leaf.yaml: not YAML"),
        ({"leaf": "sed: 1"}, "leaf.yaml: unknown field 'sed'; did you mean 'seed'?"),
        ({"leaf": "base: root.yaml", "root": "sed: 1"}, "root.yaml: unknown field 'sed'; did you mean 'seed'?"),
        ({"leaf": "base: no.yaml"}, "no.yaml: no such file (base of"),
        ({"leaf": "base: [root.yaml]"}, "leaf.yaml: base is ['root.yaml']"),
        ({"leaf": "base: leaf.yaml"}, "leaf.yaml: base leaf.yaml leads back"),
        ({"leaf": "base: root.yaml", "root": "base: ./leaf.yaml"}, "root.yaml: base ./leaf.yaml leads back"),
    ],
)
def test_errors_are_one_line(tmp_path, files, message):
    write(tmp_path, **files)
    with pytest.raises(InputError) as caught:
        read_mapping(tmp_path / "leaf.yaml", ["seed"])
    assert message in str(caught.value) and "\n" not in str(caught.value)
