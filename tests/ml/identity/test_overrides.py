"""What people decided about two records: which decision holds, and which cannot hold beside another."""

import pytest

from ml.identity.overrides import ContradictionError, Decision, Override, check, in_force


def decided(left: str, right: str, decision: Decision, when: str = "2000-12-15", who: str = "kim") -> Override:
    """About records written 'platform:id'."""
    (platform_l, id_l), (platform_r, id_r) = left.split(":"), right.split(":")
    return Override((platform_l, id_l), (platform_r, id_r), decision, who, when, f"{decision} because")


def test_a_decision_says_whose_it_is_when_it_was_taken_and_why_whichever_comes_first() -> None:
    assert (
        str(decided("shop:2", "forum:1", "same"))
        == str(decided("forum:1", "shop:2", "same"))
        == "forum:1 and shop:2: same (kim, 2000-12-15: same because)"
    )


def test_decisions_about_other_records_hold_side_by_side_in_order_of_the_records() -> None:
    later, earlier = decided("q:1", "p:1", "same", "2000-12-16"), decided("p:1", "p:2", "different", "2000-12-15")
    assert in_force([later, earlier]) == [earlier, later]


@pytest.mark.parametrize(("left", "right"), [("p:1", "q:1"), ("q:1", "p:1")])
def test_the_newest_decision_about_two_records_holds_however_they_are_written(left: str, right: str) -> None:
    first, second = decided("p:1", "q:1", "same", "2000-12-15"), decided(left, right, "different", "2000-12-16")
    assert in_force([first, second]) == in_force([second, first]) == [second]


def test_of_two_decisions_at_the_same_moment_the_one_that_was_written_last_holds() -> None:
    first, second = decided("p:1", "q:1", "same"), decided("p:1", "q:1", "different")
    assert in_force([first, second]) == [second]
    assert in_force([second, first]) == [first]


def test_what_is_forgotten_holds_no_more_and_may_be_decided_again() -> None:
    same, forgotten = decided("p:1", "q:1", "same", "2000-12-15"), decided("q:1", "p:1", "forget", "2000-12-16")
    other, again = decided("p:1", "q:2", "same", "2000-12-15"), decided("p:1", "q:1", "same", "2000-12-17")
    assert in_force([same, other, forgotten]) == [other]
    assert in_force([same, other, forgotten, again]) == [again, other]


def test_an_opposite_decision_about_the_same_two_replaces_the_earlier_one() -> None:
    """That is how a merge is undone."""
    check([decided("p:1", "q:1", "same", "2000-12-15")], decided("q:1", "p:1", "different", "2000-12-16"))


def contradiction(earlier: list[Override], new: Override) -> str:
    with pytest.raises(ContradictionError) as error:
        check(earlier, new)
    message = str(error.value)
    assert "crossrec identity forget" in message
    return message


def test_two_that_are_different_cannot_become_the_same_through_a_third() -> None:
    apart, half = decided("p:1", "q:1", "different", who="ann"), decided("p:1", "r:1", "same", who="bob")
    new = decided("r:1", "q:1", "same", "2000-12-16")
    message = contradiction([apart, half], new)
    assert message.startswith(f"decision {new} contradicts {apart}. ")
    assert str(half) in message


def test_two_that_are_the_same_through_others_cannot_become_different() -> None:
    chain = [decided("p:1", "q:1", "same"), decided("q:1", "r:1", "same"), decided("s:1", "r:1", "same")]
    new = decided("s:1", "p:1", "different", "2000-12-16")
    message = contradiction(chain, new)
    assert message.startswith(f"decision {new} contradicts {chain[0]}. ")
    assert all(str(link) in message for link in chain)
    check(chain[:1] + chain[2:], new)


def test_once_a_link_of_the_chain_is_forgotten_they_may_be_different() -> None:
    chain = [decided("p:1", "q:1", "same"), decided("q:1", "r:1", "same")]
    new = decided("p:1", "r:1", "different", "2000-12-17")
    contradiction(chain, new)
    check([*chain, decided("q:1", "p:1", "forget", "2000-12-16")], new)


def test_different_is_not_passed_on() -> None:
    """p is not q, and q not r: p may well be r."""
    apart = [decided("p:1", "q:1", "different"), decided("q:1", "r:1", "different")]
    check(apart, decided("p:1", "r:1", "same", "2000-12-16"))


def test_forgetting_contradicts_nothing() -> None:
    check([decided("p:1", "q:1", "different")], decided("p:1", "q:1", "forget", "2000-12-16"))


@pytest.mark.parametrize("decision", ["same", "different", "forget"])
def test_one_record_is_no_pair(decision: Decision) -> None:
    with pytest.raises(ContradictionError, match="p:1 is one record"):
        check([], decided("p:1", "p:1", decision))
