"""Write docs/algorithms/ from the algorithms' docstrings: `python docs/make_algorithm_pages.py`.

With `--check` it writes nothing and fails when a page is not what the code says.
"""

import sys
from pathlib import Path

from foedus.learn.algorithms import StrategyInfo, describe

TARGET = Path(__file__).parent / "algorithms"
HEAD = """# Algorithms

Made from the code by `python docs/make_algorithm_pages.py`; `foedus algorithms` says the same. Each of them
goes with rewards, with every treatment of [buffers](../reference/spec.md#policy) and, where its page does not
say otherwise, with every [robust rule](../how-to/withstand-hostile-clients.md). Figures are in the
[results](../results/algorithms.md). FedBN (Li et al., ICLR 2021, arXiv:2102.07623) is no entry of its own:
it is `policy.buffers = "local"` with whichever algorithm.

| algorithm | what it does | accepts |
| --- | --- | --- |
"""


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    listed = describe()
    rows = "".join(
        f"| [{info.title}]({info.name}.md) `{info.name}` | {info.summary} | {info.accepts} |\n"
        for info in listed
    )
    return {"index.md": HEAD + rows, **{f"{info.name}.md": _page(info) for info in listed}}


def _page(info: StrategyInfo) -> str:
    lines = [f"# {info.title}", "", f"`{info.name}`: {info.summary}", ""]
    lines += [f"- Source: {info.source}", f"- Accepts: {info.accepts}", "", "```text", info.notes, "```", ""]
    if info.parameters:
        lines += ["| parameter | default | range | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{p.name}` | `{_toml(p.default)}` | {p.range_text} | {p.meaning} |" for p in info.parameters
        ]
        lines.append("")
    lines += ["```toml", "[algorithm]", f'name = "{info.name}"', *_params(info), "```", ""]
    return "\n".join(lines)


def _params(info: StrategyInfo) -> list[str]:
    given = ", ".join(f"{p.name} = {_toml(p.default)}" for p in info.parameters)
    return [f"params = {{ {given} }}"] if given else []


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def main() -> None:
    """Write the pages, or compare them."""
    wanted = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.md")}
    if "--check" in sys.argv:
        different = sorted(
            name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
        )
        if different:
            sys.exit(f"{', '.join(different)}: run python docs/make_algorithm_pages.py")
        return
    TARGET.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
