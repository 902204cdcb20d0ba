import csv
import io

import pytest

from harness.report.evidence import Evidence, Person, gather
from harness.report.tables import LAYOUT, SHOWN, as_csv, as_latex, forms_table, tables_of, write_tables
from harness.studies.published import PublishedStudy
from harness.studies.quantities import MCE, SHAPE_BIAS, whitebox_accuracy
from harness.studies.study import WSL
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Figure


@pytest.fixture(scope="module")
def published():
    return gather(PublishedStudy(), SHOWN)


def figure(quantity, value):
    estimate = Estimate.exact(value, 100)
    return Figure(quantity.metric, quantity.title, "", "it", estimate, "classify, fp32", quantity.percent)


def test_tables_are_the_papers_with_its_numbers(published):
    """The author's raw results, aggregated, beside what Table 1 prints (Orhan, 2019): within the cells' rounding."""
    table = tables_of(published)[0]
    assert [column.title for column in table.columns] == ["mCE", "rel. mCE", "mFR", "mT5D", "mean top-5 distance"]
    printed = {row.person.label: [cell.printed for cell in row.cells[:4]] for row in table.rows}
    assert printed == {
        "resnext101_32x8d": [0.666, 0.911, 0.461, 0.705],
        "resnext101_32x8d_wsl": [0.517, 0.656, 0.388, 0.582],
        "resnext101_32x16d_wsl": [0.488, 0.65, 0.327, 0.537],
        "resnext101_32x32d_wsl": [0.47, 0.638, 0.297, 0.539],
        "resnext101_32x48d_wsl": [0.457, 0.618, 0.278, 0.529],
        "Patch Gaussian (ResNet-200)": [0.604, 0.757, None, None],
        "resnext101_64x4d (Hendrycks and Dietterich, 2019)": [0.622, 0.801, 0.432, 0.659],
    }
    differences = [cell.difference for row in table.rows for cell in row.cells if cell.difference is not None]
    assert len(differences) == 15
    assert max(map(abs, differences)) <= 0.0008


def test_clean_accuracy_is_held_against_an_independent_measurement(published):
    """Of imagenet-testbed, 82.688 % (N2), where the paper quotes a model card's 82.2 %."""
    table = tables_of(published)[1]
    (cell,) = [row.cells[0] for row in table.rows if row.person.label == "resnext101_32x8d_wsl"]
    assert (cell.text(cell.figure.estimate.value), cell.points()) == ("82.69 %", "+0.49")


def test_a_difference_is_told_of_the_papers_own_classifiers_only():
    people = Person("mine", "mine", plays="resnext101_32x8d"), Person(WSL[0], WSL[0], plays=WSL[0])
    evidence = Evidence("live", people)
    for person in people:
        evidence.figures[person.subject, MCE.key] = figure(MCE, 0.5)
    mine, papers = (row.cells[0] for row in tables_of(evidence)[0].rows)
    assert (mine.printed, mine.difference, mine.points()) == (0.666, None, "")
    assert papers.difference == pytest.approx(0.5 - 0.517)
    assert papers.points() == "-1.70"


def test_a_difference_of_nothing_has_no_minus():
    person = Person(WSL[0], WSL[0], plays=WSL[0])
    evidence = Evidence("live", (person,), figures={(WSL[0], MCE.key): figure(MCE, 0.51699999)})
    assert tables_of(evidence)[0].rows[0].cells[0].points() == "+0.00"


def test_what_is_not_known_has_no_row_column_or_table():
    people = Person("a", "a"), Person("b", "b")
    evidence = Evidence("live", people, figures={("b", SHAPE_BIAS.key): figure(SHAPE_BIAS, 0.3)})
    (table,) = tables_of(evidence)
    assert (table.name, [row.person.label for row in table.rows]) == ("table3", ["b"])
    assert forms_table(evidence) is None


def test_a_table_of_nobody_but_the_recorded_baseline_is_none():
    who = "published resnext101_32x8d"
    evidence = Evidence("candidate", (Person(who, who), Person("c", "c")))
    evidence.figures[who, MCE.key] = figure(MCE, 0.666)
    assert tables_of(evidence) == []


def test_both_forms_of_an_attack_stand_side_by_side():
    evidence = Evidence("live", (Person("a", "a"),))
    for form, value in (("published", 0.3), ("standard", 0.0)):
        quantity = whitebox_accuracy(0.06, 10, form)
        evidence.figures["a", quantity.key] = figure(quantity, value)
    table = forms_table(evidence)
    assert [column.title for column in table.columns] == [
        "white-box 10 steps, published",
        "white-box 10 steps, standard",
    ]
    assert [cell.figure.estimate.value for cell in table.rows[0].cells] == [0.3, 0.0]


def test_csv_has_a_line_a_figure(published):
    rows = list(csv.DictReader(io.StringIO(as_csv(tables_of(published)[:1]))))
    (row,) = [row for row in rows if (row["classifier"], row["metric"]) == ("resnext101_32x8d_wsl", "mce")]
    assert float(row["value"]) == pytest.approx(0.517, abs=0.0006)
    assert (row["study"], row["paper"], row["images"], row["condition"]) == ("published", "0.517", "3750000", "")
    assert float(row["difference"]) == pytest.approx(float(row["value"]) - 0.517)
    assert len(rows) == 20


def test_latex_escapes_what_latex_reads():
    evidence = Evidence("live", (Person("a_b&c", "a_b&c"),), figures={("a_b&c", MCE.key): figure(MCE, 0.5)})
    text = as_latex(tables_of(evidence))
    assert r"a\_b\&c & 50 \% \\" in text
    assert text.count(r"\begin{tabular}{lr}") == text.count(r"\end{tabular}") == 1


def test_tables_of_all_studies_share_a_file(tmp_path, published):
    own = Evidence("live", (Person("a", "a"),), figures={("a", MCE.key): figure(MCE, 0.5)})
    write_tables(tmp_path, [*tables_of(published), *tables_of(own)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"table{number}.{kind}" for number in range(1, len(LAYOUT) + 1) for kind in ("csv", "tex")
    )
    studies = {row["study"] for row in csv.DictReader((tmp_path / "table1.csv").read_text().splitlines())}
    assert studies == {"published", "live"}
