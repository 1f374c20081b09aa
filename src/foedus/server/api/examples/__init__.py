"""Examples of the API's bodies and answers, by operation: one story of a project, `lungs`."""

from collections.abc import Mapping
from typing import Final

from foedus.server.api.examples.kinds import Example, Listed
from foedus.server.api.examples.projects import PROJECTS
from foedus.server.api.examples.results import RESULTS
from foedus.server.api.examples.site import SITE
from foedus.server.api.examples.training import TRAINING

EXAMPLES: Final[Mapping[str, Example]] = {**PROJECTS, **TRAINING, **RESULTS, **SITE}
"""What is shown of each operation, by its id."""

__all__ = ["EXAMPLES", "Example", "Listed"]
