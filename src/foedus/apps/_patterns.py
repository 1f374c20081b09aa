"""What the texts in an application's file may look like, each with what is said of one that does not."""

from typing import Final

from foedus.apps import application, parameters

LINE: Final = r"^[^\x00-\x1f\x7f]+$"
ARGUMENT: Final = r"^[^\x00]*$"
WORD: Final = r"^[A-Za-z0-9_.,:=&|*\[\]()/-]*$"
APPLICATION_NAME: Final = f"^{application.NAME.pattern}$"
PARAMETER_NAME: Final = f"^{parameters.NAME.pattern}$"

PATTERNS: Final = {
    LINE: "must be one line of text, without control characters",
    ARGUMENT: "must be text without the character 0",
    WORD: "must have letters, digits and _ . , : = & | * [ ] ( ) / - only",
    APPLICATION_NAME: "must be up to 32 capital letters, digits and _, a letter first",
    PARAMETER_NAME: "must be up to 32 letters, digits and _, a letter first",
}
