"""What forms offer without PyTorch is what the registries have."""

import subprocess
import sys

from foedus.learn import choices
from foedus.learn.algorithms import describe
from foedus.learn.models import model_info, model_names


def test_the_file_is_as_the_registries_have_it() -> None:
    assert choices.FILE.read_text("utf-8") == choices.described(), "run python -m foedus.learn.choices"


def test_choices_have_the_parameters_of_the_registries() -> None:
    assert {one.name: one.parameters for one in choices.algorithm_choices().values()} == {
        one.name: one.parameters for one in describe()
    }
    assert {name: one.parameters for name, one in choices.model_choices().items()} == {
        name: model_info(name).parameters for name in model_names()
    }


def test_reading_them_loads_no_pytorch() -> None:
    code = (
        "import sys; from foedus.learn.choices import model_choices as m; m(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
