# pragma version 0.4.3
# pragma evm-version paris
"""
@title Rewards: what a registration earns (Algorithm 3), in integers
@notice Pure arithmetic. `foedus.chain.reward` computes the same numbers bit for bit; a change here is a change there.
"""


WAD: constant(uint256) = 10**18
AGE_BLOCKS: constant(uint256) = 10  # K: participation of this many blocks of the run counts 1 - 1/e
SLOWEST_US: constant(uint256) = 100_000_000  # propagation is clamped: alpha between 0.01 and 1000 per second
FASTEST_US: constant(uint256) = 1_000
MICROSECONDS: constant(uint256) = 1_000_000

SCALE: constant(uint256) = 10**27  # inside the exponential: nine digits more than its result
GUARD: constant(uint256) = 10**9
LN2: constant(uint256) = 693147180559945309417232121  # in SCALE
SQUARINGS: constant(uint256) = 4
TERMS: constant(uint256) = 10  # for y below ln2 / 16 the first term left out is below 1e-22
VANISHES: constant(uint256) = 42 * 10**18  # exp(-42) < 1e-18


@internal
@pure
def _exp_neg(x: uint256) -> uint256:
    """
    @notice exp(-x) for x in WAD, rounded down to WAD.
    @dev x = k ln2 + 16 y with y < ln2 / 16; exp(-y) as 1 - y(1 - y/2(1 - y/3(...))), where nothing is ever negative;
         four squarings make exp(-16 y) of it. Every number stays below 2**181, so the unchecked operations, which
         save a third of the steps, cannot overflow.
    """
    if x == 0:
        return WAD
    if x >= VANISHES:
        return 0
    halvings: uint256 = x * GUARD // LN2
    y: uint256 = (x * GUARD - halvings * LN2) // 2**SQUARINGS
    series: uint256 = SCALE
    for i: uint256 in range(TERMS):
        term: uint256 = unsafe_div(unsafe_mul(y, series), unsafe_mul(unsafe_sub(TERMS, i), SCALE))
        series = unsafe_sub(SCALE, term)
    for _: uint256 in range(SQUARINGS):
        series = unsafe_div(unsafe_mul(series, series), SCALE)
    return (series >> halvings) // GUARD


@internal
@pure
def _reward(
    own: uint256,
    total: uint256,
    active: uint256,
    blocks: uint256,
    seconds_: uint256,
    validators: uint256,
    propagation_us: uint256,
) -> uint256:
    """
    @notice r = S * A * q in WAD, always below one.
    @param own Rounds of the window in which the client registered (m).
    @param total Registrations of the window, at most one per client and round (T).
    @param active Clients with at least one of them (N).
    @param blocks Blocks of the run since the client's first of them.
    @param seconds_ Seconds since then; less than one counts as one.
    @param validators Validating nodes (n).
    @param propagation_us Median of the reported propagation times; clamped.
    """
    if own == 0 or total == 0 or blocks == 0:
        return 0
    share: uint256 = active * own * WAD // (total + active * own)
    age: uint256 = WAD - self._exp_neg(blocks * WAD // AGE_BLOCKS)
    quiet: uint256 = WAD
    if validators > 1:
        delay: uint256 = min(max(propagation_us, FASTEST_US), SLOWEST_US)
        others: uint256 = blocks * (validators - 1) * delay * WAD
        quiet = self._exp_neg(others // (max(seconds_, 1) * validators * MICROSECONDS))
    return share * age // WAD * quiet // WAD


@external
@pure
def reward_of(
    own: uint256,
    total: uint256,
    active: uint256,
    blocks: uint256,
    seconds_: uint256,
    validators: uint256,
    propagation_us: uint256,
) -> uint256:
    """
    @notice The reward of Algorithm 3 for given counts, in WAD (see `_reward`); for checking.
    """
    return self._reward(own, total, active, blocks, seconds_, validators, propagation_us)
