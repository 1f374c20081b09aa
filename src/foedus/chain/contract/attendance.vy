# pragma version 0.4.3
# pragma evm-version paris
"""
@title Attendance: who registered in the last ten rounds, and what that earns
@notice Keeps Algorithm 3's counts per run so that a registration costs the same however many clients there are.
        A run's age is counted in its beats, the blocks that hold a transaction about it: what happens elsewhere
        on the chain makes nobody's participation older.
"""


import rewards


struct Attendance:
    rounds: uint256  # last round registered in * 2**10 + one bit per round of the window that ends there
    stamps: uint256[10]  # beat * 2**64 + time of the first registration of a round, at round % 10


WINDOW: constant(uint256) = 10  # rounds that the reward looks back on, the present one included
HALF: constant(uint256) = 2**128
LOW64: constant(uint256) = 2**64 - 1


beats: HashMap[uint256, uint256]  # per run: last block with a transaction about it * 2**64 + number of such blocks
window: HashMap[uint256, uint256]  # per run: registrations * 2**128 + clients with one, in the window
tallies: HashMap[uint256, HashMap[uint256, uint256]]  # per round: the same, each client at its last round only
attendance: HashMap[uint256, HashMap[address, Attendance]]


@internal
def _beat(run: uint256):
    """
    @notice Count the block, once. Whatever changes a run calls this first.
    """
    packed: uint256 = self.beats[run]
    if packed >> 64 != block.number:
        self.beats[run] = (block.number << 64) | ((packed & LOW64) + 1)


@internal
def _move_window(run: uint256, round: uint256):
    """
    @notice Let the round that leaves the window go, when this round opens.
    """
    if round > WINDOW:
        self.window[run] -= self.tallies[run][round - WINDOW]


@internal
def _attend(run: uint256, round: uint256) -> uint256:
    """
    @notice Count the sender's registration in this round, once, and return its mask over the window.
    @dev Bit i of the mask stands for round - i. No loop over clients: hundreds register.
    """
    packed: uint256 = self.attendance[run][msg.sender].rounds
    last: uint256 = packed >> WINDOW
    mask: uint256 = packed & (2**WINDOW - 1)
    if last == round:
        return mask
    is_active: bool = last != 0 and round - last < WINDOW
    mask = ((mask << (round - last)) & (2**WINDOW - 1)) | 1 if is_active else 1
    self.attendance[run][msg.sender].rounds = (round << WINDOW) | mask
    self.attendance[run][msg.sender].stamps[round % WINDOW] = ((self.beats[run] & LOW64) << 64) | block.timestamp
    self.tallies[run][round] += HALF + 1
    if is_active:
        self.tallies[run][last] -= 1
        self.window[run] += HALF
    else:
        self.window[run] += HALF + 1
    return mask


@internal
def _earn(run: uint256, round: uint256, validators: uint256, propagation_us: uint256) -> uint256:
    """
    @notice Count the registration and return its reward (Algorithm 3).
    """
    mask: uint256 = self._attend(run, round)
    own: uint256 = 0
    oldest: uint256 = 0
    for i: uint256 in range(WINDOW):
        if (mask >> i) & 1 == 1:
            own += 1
            oldest = i
    stamp: uint256 = self.attendance[run][msg.sender].stamps[(round - oldest) % WINDOW]
    return rewards._reward(
        own,
        self.window[run] // HALF,
        self.window[run] % HALF,
        (self.beats[run] & LOW64) - (stamp >> 64),
        block.timestamp - (stamp & LOW64),
        validators,
        propagation_us,
    )


@external
@view
def window_of(run: uint256) -> (uint256, uint256):
    """
    @notice Registrations in the reward's window (T), and clients with at least one (N).
    """
    return self.window[run] // HALF, self.window[run] % HALF
