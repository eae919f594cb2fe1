import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from evaluation.comparison.statistics import (
    compare_all,
    compare_pair,
    correct_holm,
    describe_power,
    to_cohens_d,
    to_detectable_effect,
    to_differences,
    to_power,
)


def compare(first, second):
    """Compare two networks on exams of one image each."""
    return compare_pair(("a", "b"), list(first), list(second), range(len(first)))


def test_images_of_an_exam_count_once():
    """Three images of exam 7 give one mean; an image that either network lacks is left out."""
    first = [1.0, 2.0, None, 5.0, None, 3.0]
    second = [2.0, 4.0, 9.0, 5.5, 1.0, None]
    differences, excluded = to_differences(first, second, [7, 7, 7, 8, 9, 8])
    assert differences.tolist() == [1.5, 0.5]
    assert excluded == 1


def test_equal_answers_do_not_differ_if_one_network_refuses_more():
    """The second image of each exam is harder and refused by one: its error counts for neither."""
    exams = [exam for exam in range(5) for _ in range(2)]
    both, refusing = [2.0, 10.0] * 5, [2.0, None] * 5
    test = compare_pair(("a", "b"), both, refusing, exams)
    assert (test.mean_difference, test.exams, test.excluded) == (0, 5, 0)


def test_difference_is_second_minus_first():
    """A constant shift of 0.5 has the mean 0.5 and an interval of length 0."""
    first = np.arange(10.0)
    second = np.arange(10.0) + 0.5
    test = compare(first, second)
    assert (test.mean_difference, test.low, test.high) == (0.5, 0.5, 0.5)
    assert test.cohens_d == 0  # the differences do not vary


def test_equal_networks_have_p_one():
    """Without any difference nothing is tested."""
    values = [1.0, 2.0, 3.0, 4.0]
    test = compare(values, values)
    assert (test.wilcoxon_p, test.permutation_p, test.cohens_d) == (1, 1, 0)


def test_wilcoxon_p_of_a_known_case():
    """Six differences of one sign: two of the 64 sign patterns are as extreme, p = 1/32."""
    second = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    test = compare(np.zeros(6), second)
    assert test.wilcoxon_p == pytest.approx(2 / 64)


def test_permutation_p_equals_the_count_of_all_sign_patterns():
    """With 8 exams all 256 patterns are counted; the p value is their exact share."""
    differences = np.random.default_rng(3).normal(0.6, 1.0, 8)
    test = compare(np.zeros(8), differences)
    signs = np.array(list(product((-1, 1), repeat=8)))
    means = np.abs((signs * differences).mean(axis=1))
    assert test.permutation_p == pytest.approx(
        np.mean(means >= abs(differences.mean()) - 1e-12), abs=1e-9
    )


def test_permutation_p_agrees_with_the_t_test_for_many_exams():
    """For 80 normal differences both tests give nearly the same p value."""
    differences = np.random.default_rng(5).normal(0.25, 1.0, 80)
    test = compare(np.zeros(80), differences)
    assert test.permutation_p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_cohens_d_of_known_differences():
    """Mean 2, standard deviation 1: d is 2. Its interval contains it."""
    assert to_cohens_d(np.array([1.0, 2.0, 3.0])) == 2
    differences = np.random.default_rng(0).normal(1, 2, 200)
    test = compare(np.zeros(200), differences)
    assert test.cohens_d == pytest.approx(0.5, abs=0.15)
    assert test.d_low < test.cohens_d < test.d_high
    assert test.d_high - test.d_low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.25)


def test_exam_without_an_answer_is_excluded_and_counted():
    """Only exams with both values are compared."""
    first = [1.0, 2.0, 3.0, None, 5.0]
    second = [2.0, 3.0, 4.0, 4.0, None]
    test = compare(first, second)
    assert (test.exams, test.excluded) == (3, 2)


def test_fewer_than_three_exams_are_refused():
    """Nothing can be said about two differences."""
    with pytest.raises(ValueError, match="3 or more"):
        compare([0.0, 1.0, 2.0], [0.0, 1.0, None])


def test_holm_gives_the_corrected_values_of_the_textbook_case():
    """0.01, 0.04, 0.03, 0.005 times 3, 1, 2, 4, never falling: 0.03, 0.06, 0.06, 0.02."""
    assert correct_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([0.9, 0.8]) == [1.0, 1.0]
    assert correct_holm([]) == []


def test_all_pairs_are_tested_and_corrected():
    """Three networks have three pairs; a network that is worse by 1 differs from both others."""
    generator = np.random.default_rng(1)
    base = generator.normal(5, 1, 40)
    values = {
        "a": base,
        "b": base + generator.normal(0, 0.2, 40),
        "c": base + 1 + generator.normal(0, 0.2, 40),
    }
    tests = {(test.first, test.second): test for test in compare_all(values, range(40))}
    assert list(tests) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert not tests["a", "b"].is_significant
    assert tests["a", "c"].is_significant
    assert tests["b", "c"].is_significant
    for test in tests.values():
        assert test.wilcoxon_holm_p >= test.wilcoxon_p
        assert test.permutation_holm_p >= test.permutation_p


@pytest.mark.parametrize(("exams", "effect"), [(34, 0.5), (52, 0.4), (90, 0.3)])
def test_detectable_effect_is_that_of_the_tables(exams, effect):
    """Paired t test, 5 %, 80 % power: d = 0.5 needs 34 pairs, 0.4 needs 52, and 0.3 needs 90."""
    assert to_power(effect, exams - 1, 0.05) < 0.8 <= to_power(effect, exams, 0.05)
    assert effect - 0.01 < to_detectable_effect(exams) <= effect


def test_power_without_an_effect_is_the_level():
    """If there is no difference, 5 % of the tests are significant."""
    assert to_power(0.0, 30, 0.05) == pytest.approx(0.05)
    assert to_power(1.0, 30, 0.05) > 0.99


def test_power_is_that_of_simulated_tests():
    """With the detectable effect, 80 % of 4,000 simulated experiments are significant."""
    effect = to_detectable_effect(20)
    draws = np.random.default_rng(2).normal(effect, 1, (4000, 20))
    share = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert share == pytest.approx(0.8, abs=0.03)


def test_holms_first_step_needs_a_larger_difference():
    """With 15 pairs the strictest level is 0.05 / 15."""
    generator = np.random.default_rng(0)
    values = {name: generator.normal(0, 1, 50) for name in "abcdef"}
    facts = describe_power(compare_all(values, range(50)), [2.0] * 15)
    assert facts["pairs"] == 15
    assert facts["detectable_difference"] == pytest.approx(2 * to_detectable_effect(50))
    assert facts["detectable_effect_holm"] > 1.2 * facts["detectable_effect"]
