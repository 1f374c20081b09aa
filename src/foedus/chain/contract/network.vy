# pragma version 0.4.3
# pragma evm-version paris
"""
@title Network: how many nodes validate, and how fast transactions reach them
@notice Both enter the reward's factor q. With one validator, the embedded chain, q is one.
"""


import projects

uses: projects


event ValidatorsSet:
    validators: uint256


event PropagationReported:
    project: indexed(uint256)
    account: indexed(address)
    microseconds: uint256
    median: uint256


MAX_REPORTS: constant(uint256) = 64
MAX_VALIDATORS: constant(uint256) = 10_000
SLOWEST_REPORT_US: constant(uint256) = 3_600_000_000


OWNER: immutable(address)
validators: public(uint256)
medians: HashMap[uint256, uint256]
reports: HashMap[uint256, DynArray[uint256, MAX_REPORTS]]  # sorted
latest: HashMap[uint256, HashMap[address, uint256]]


@deploy
def __init__():
    """
    @notice The account that deploys the contract keeps the number of validators.
    """
    OWNER = msg.sender
    self.validators = 1


@internal
@pure
def _replaced(
    sorted: DynArray[uint256, MAX_REPORTS], old: uint256, new: uint256
) -> DynArray[uint256, MAX_REPORTS]:
    """
    @notice The sorted list without one `old` (0: nothing to take out) and with `new` in its place.
    """
    result: DynArray[uint256, MAX_REPORTS] = []
    is_removed: bool = old == 0
    is_added: bool = False
    for value: uint256 in sorted:
        if not is_removed and value == old:
            is_removed = True
            continue
        if not is_added and new <= value:
            result.append(new)
            is_added = True
        result.append(value)
    if not is_added:
        result.append(new)
    return result


@external
def set_validators(n: uint256):
    """
    @notice Say how many nodes validate the chain. Only for the account that deployed the contract.
    """
    assert msg.sender == OWNER, "Foedus: only the owner of the contract may do this"
    assert n > 0 and n <= MAX_VALIDATORS, "Foedus: the number of validators must be 1 to 10000"
    self.validators = n
    log ValidatorsSet(validators=n)


@external
def report_propagation(project: uint256, microseconds: uint256):
    """
    @notice Report how long a transaction took to arrive. The latest report of each client counts; rewards use
            the median. At most 64 clients of a project report.
    """
    assert projects._is_client(project, msg.sender), "Foedus: only clients of this project may do this"
    assert microseconds > 0 and microseconds <= SLOWEST_REPORT_US, "Foedus: the time must be 1 us to 1 h"
    old: uint256 = self.latest[project][msg.sender]
    times: DynArray[uint256, MAX_REPORTS] = self.reports[project]
    assert old != 0 or len(times) < MAX_REPORTS, "Foedus: 64 clients report already"
    times = self._replaced(times, old, microseconds)
    self.reports[project] = times
    self.latest[project][msg.sender] = microseconds
    n: uint256 = len(times)
    median: uint256 = (times[(n - 1) // 2] + times[n // 2]) // 2
    self.medians[project] = median
    log PropagationReported(project=project, account=msg.sender, microseconds=microseconds, median=median)


@external
@view
def owner() -> address:
    """
    @notice The account that deployed the contract.
    """
    return OWNER


@external
@view
def median_of(project: uint256) -> uint256:
    """
    @notice Median of the project's reported propagation times in microseconds; 0 before the first report.
    """
    return self.medians[project]
