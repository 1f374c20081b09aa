# pragma version 0.4.3
# pragma evm-version paris
"""
@title Projects: who belongs to a project, and as what
@notice The lead enrols members. Clients are the members enrolled as MEMBER or LEAD: they train, aggregate and vote.
        The list of members only grows; leaving is the role NONE. A lead who does not train is not enrolled.
"""


event ProjectCreated:
    project: indexed(uint256)
    lead: indexed(address)
    name: String[64]
    terms: String[64]


event MemberSet:
    project: indexed(uint256)
    account: indexed(address)
    name: String[32]
    role: uint256


event LeadProposed:
    project: indexed(uint256)
    account: indexed(address)


event LeadChanged:
    project: indexed(uint256)
    previous: indexed(address)
    lead: indexed(address)


struct Project:
    lead: address
    next_lead: address
    members: uint256  # length of the roster
    clients: uint256  # members that are MEMBER or LEAD now
    sequence: uint256  # counts changes of membership; a ballot remembers it


struct Member:
    name: bytes32  # keccak of the name; never changes
    role: uint256
    joined: uint256  # the project's sequence when the account last became a client


NO_ROLE: constant(uint256) = 0
AUDITOR: constant(uint256) = 1
MEMBER: constant(uint256) = 2
LEAD: constant(uint256) = 3
MAX_MEMBERS: constant(uint256) = 1024


project_count: public(uint256)
projects: HashMap[uint256, Project]
members: HashMap[uint256, HashMap[address, Member]]
roster: HashMap[uint256, HashMap[uint256, address]]
names: HashMap[uint256, HashMap[bytes32, bool]]


@internal
@view
def _is_client(project: uint256, account: address) -> bool:
    """
    @notice Whether the account trains and votes in the project now.
    """
    return self.members[project][account].role >= MEMBER


@internal
@view
def _client_at(project: uint256, index: uint256) -> address:
    """
    @notice The client at this place in the order of enrolment, counting only present clients.
    """
    left: uint256 = index
    for i: uint256 in range(self.projects[project].members, bound=MAX_MEMBERS):
        account: address = self.roster[project][i]
        if self._is_client(project, account):
            if left == 0:
                return account
            left -= 1
    return empty(address)


@internal
@view
def _only_lead(project: uint256):
    """
    @notice Refuse everybody but the lead of an existing project.
    """
    assert msg.sender == self.projects[project].lead, "Foedus: only the lead of this project may do this"


@internal
def _enrol(project: uint256, account: address, name: String[32]):
    """
    @notice Put a new account on the roster under its name, or check the name of a known one.
    """
    hashed: bytes32 = keccak256(name)
    known: bytes32 = self.members[project][account].name
    if known != empty(bytes32):
        assert hashed == known, "Foedus: a member keeps its name"
        return
    count: uint256 = self.projects[project].members
    assert count < MAX_MEMBERS, "Foedus: the project has 1024 members already"
    assert len(name) > 0, "Foedus: a member needs a name"
    assert not self.names[project][hashed], "Foedus: another member has this name"
    self.names[project][hashed] = True
    self.members[project][account].name = hashed
    self.roster[project][count] = account
    self.projects[project].members = count + 1


@internal
def _change_role(project: uint256, account: address, role: uint256):
    """
    @notice Set the role and keep the count of clients and the sequence of membership.
    """
    was: uint256 = self.members[project][account].role
    assert role != was, "Foedus: the member has this role already"
    self.projects[project].sequence += 1
    if was < MEMBER and role >= MEMBER:
        self.members[project][account].joined = self.projects[project].sequence
        self.projects[project].clients += 1
    elif was >= MEMBER and role < MEMBER:
        self.projects[project].clients -= 1
    self.members[project][account].role = role


@external
def create_project(name: String[64], terms: String[64]) -> uint256:
    """
    @notice Found a project; the sender becomes its lead. To train too, the lead enrols itself with the role LEAD.
    @param name What people call the project.
    @param terms CID of what its members agree on.
    @return The project's number, from 1.
    """
    assert len(name) > 0, "Foedus: a project needs a name"
    self.project_count += 1
    project: uint256 = self.project_count
    self.projects[project].lead = msg.sender
    log ProjectCreated(project=project, lead=msg.sender, name=name, terms=terms)
    return project


@external
def set_member(project: uint256, account: address, name: String[32], role: uint256):
    """
    @notice Enrol an account, change its role, or end its membership (NONE).
    @dev The lead itself is either enrolled as LEAD or not at all; the lead passes on by `propose_lead`.
    """
    self._only_lead(project)
    assert account != empty(address), "Foedus: this is not an account"
    if account == msg.sender:
        assert role == LEAD or role == NO_ROLE, "Foedus: the lead is enrolled as LEAD or not at all"
    else:
        assert role <= MEMBER, "Foedus: the role must be NONE, AUDITOR or MEMBER"
    self._enrol(project, account, name)
    self._change_role(project, account, role)
    log MemberSet(project=project, account=account, name=name, role=role)


@external
def propose_lead(project: uint256, account: address):
    """
    @notice Offer the lead to another account; nothing changes until it accepts.
    """
    self._only_lead(project)
    self.projects[project].next_lead = account
    log LeadProposed(project=project, account=account)


@external
def accept_lead(project: uint256):
    """
    @notice Take over the lead that was offered. Both keep training if they did: roles LEAD and MEMBER swap.
    """
    assert msg.sender == self.projects[project].next_lead, "Foedus: the lead was not offered to this account"
    previous: address = self.projects[project].lead
    self.projects[project].lead = msg.sender
    self.projects[project].next_lead = empty(address)
    if self.members[project][previous].role == LEAD:
        self.members[project][previous].role = MEMBER
    if self.members[project][msg.sender].role == MEMBER:
        self.members[project][msg.sender].role = LEAD
    log LeadChanged(project=project, previous=previous, lead=msg.sender)


@external
@view
def lead_of(project: uint256) -> address:
    """
    @notice The project's lead; the zero address if there is no such project.
    """
    return self.projects[project].lead


@external
@view
def role_of(project: uint256, account: address) -> uint256:
    """
    @notice The account's role: 0 none, 1 auditor, 2 member, 3 lead.
    """
    return self.members[project][account].role


@external
@view
def clients_of(project: uint256) -> uint256:
    """
    @notice How many clients the project has now.
    """
    return self.projects[project].clients


@external
@view
def client_at(project: uint256, index: uint256) -> address:
    """
    @notice The present client at this place in the order of enrolment, from 0; the zero address beyond the last.
    """
    return self._client_at(project, index)
