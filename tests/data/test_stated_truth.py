from loyalty_research.data.project import project_file
from loyalty_research.data.stated_truth import stated_truth


def test_a_simulated_study_states_its_truth():
    assert stated_truth(project_file("data/service_change"), "wait_median_F01") == -28.0


def test_what_is_not_stated_is_none(tmp_path):
    assert stated_truth(project_file("data/example"), "no_such_estimand") is None
    assert stated_truth(tmp_path, "programme_hazard_ratio") is None
