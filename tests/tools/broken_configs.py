"""Catalogue of the broken configurations: one defect each, and what must be said about it.

``python -m tests.tools.broken_configs`` writes ``broken/`` anew from the configurations that are
shipped; a test compares both, so that each file keeps exactly one defect.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "broken"
CONFIGS = Path(__file__).resolve().parents[2] / "configs"

LINE = "lines/reference.yaml"
PRODUCT = "products/reference_tablet.yaml"
MATERIAL = "materials/mcc_ph102.yaml"
SCENARIO = "scenarios/shift.yaml"
TAGMAP = "tagmaps/foreign_plc.yaml"
RECORDING = "recordings/tablet_press.yaml"
SET = "product_sets/half_strength_tablet.yaml"
CONTROLLER = """\
kind: controller
schema: 1
name: broken controller
algorithm: nmpc
line: ../../../configs/lines/reference.yaml
period_s: 5
"""


@dataclass(frozen=True)
class Broken:
    """A file made from ``base`` by one replacement, and what its only error must contain."""

    name: str
    base: str | None
    old: str | None
    new: str
    where: str
    wrong: str
    right: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.yaml"

    def text(self) -> str:
        if self.base is None or self.old is None:
            return self.new
        text = self.base if "\n" in self.base else shipped(self.base)
        return replaced_once(text, self.old, self.new)


def shipped(name: str) -> str:
    """A shipped configuration whose references hold from the folder of the broken ones."""
    text = (CONFIGS / name).read_text("utf-8")
    for folder in ("products", "materials", "lines", "controllers"):
        text = text.replace(f"../{folder}/", f"../../../configs/{folder}/")
    return text


def replaced_once(text: str, old: str, new: str) -> str:
    if old not in text:
        raise LookupError(f"{old!r} is not in the base configuration")
    return text.replace(old, new, 1)


CASES = (
    Broken(
        "line_misspelt_key",
        LINE,
        "refill_to_percent",
        "refil_to_percent",
        "feeders[0].refil_to_percent",
        "unknown key 'refil_to_percent'",
        "did you mean 'refill_to_percent'?",
    ),
    Broken(
        "line_missing_field",
        LINE,
        "  speed_exponent: 0.6\n",
        "",
        "blender.speed_exponent",
        "'speed_exponent' is missing",
        "a number above 0",
    ),
    Broken(
        "line_word_for_number",
        LINE,
        "starve_level_percent: 8",
        "starve_level_percent: eight",
        "chute.starve_level_percent",
        "'eight' is of the wrong type",
        "a number at least 0 and at most 100 (%)",
    ),
    Broken(
        "line_gain_too_large",
        LINE,
        "force_loop_gain: 0.5",
        "force_loop_gain: 1.7",
        "regulatory.force_loop_gain",
        "1.7 is above 1",
        "a number above 0 and at most 1",
    ),
    Broken(
        "line_negative_hopper",
        LINE,
        "hopper_kg: 20.0",
        "hopper_kg: -20.0",
        "feeders[1].hopper_kg",
        "-20.0 kg is not above 0",
        "a number above 0 (kg)",
    ),
    Broken(
        "line_endless_hopper",
        LINE,
        "hopper_kg: 20.0",
        "hopper_kg: .inf",
        "feeders[1].hopper_kg",
        "inf kg is not a finite number",
        "a number above 0 (kg)",
    ),
    Broken(
        "line_force_in_newton",
        LINE,
        "unit: kN, nominal: 7.25",
        "unit: N, nominal: 7.25",
        "manipulated[3].unit",
        "'N' is not the unit of Line/Press/MainForceSP",
        "'kN', with nominal, lo, hi and move_per_5s in it",
    ),
    Broken(
        "line_without_blender_speed",
        LINE,
        "  - {tag: Line/Blender/Speed,",
        "  # - {tag: Line/Blender/Speed,",
        "manipulated",
        "'Line/Blender/Speed' is missing",
        "an entry for every manipulated variable of the line, also for 'Line/Blender/Speed'",
    ),
    Broken(
        "line_nominal_outside_range",
        LINE,
        "nominal: 10.0, lo: 9.5",
        "nominal: 10.9, lo: 9.5",
        "manipulated[1].nominal",
        "nominal 10.9 of Line/Formulation/ApiRatio is outside 9.5 to 10.5",
        "a value from 9.5 to 10.5, or a wider range",
    ),
    Broken(
        "line_refill_levels_swapped",
        LINE,
        "refill_from_percent: 62.0",
        "refill_from_percent: 82.0",
        "feeders[0].refill_from_percent",
        "refill levels (%): the lower value 82 is not below the upper 72",
        "a lower value below 72, or an upper value above 82",
    ),
    Broken(
        "line_two_fillers",
        LINE,
        "role: lubricant",
        "role: filler",
        "feeders",
        "2 feeders have role filler",
        "exactly one feeder with role filler",
    ),
    Broken(
        "line_role_unknown",
        LINE,
        "role: lubricant",
        "role: lubrikant",
        "feeders[2].role",
        "'lubrikant' is none of the choices",
        "one of 'api', 'filler', 'lubricant', 'excipient'",
    ),
    Broken(
        "line_product_not_there",
        LINE,
        "reference_tablet.yaml",
        "reference_tablett.yaml",
        "product",
        "the file '../../../configs/products/reference_tablett.yaml' does not exist",
        "the path of a product, relative to this file; did you mean 'reference_tablet.yaml'?",
    ),
    Broken(
        "line_material_is_a_product",
        LINE,
        "materials/lubricant.yaml",
        "products/reference_tablet.yaml",
        "feeders[2].material",
        "'../../../configs/products/reference_tablet.yaml' is a product",
        "the path of a material",
    ),
    Broken(
        "line_echo_longer_than_a_cycle",
        LINE,
        "echo_max_s: 3",
        "echo_max_s: 8",
        "plc.echo_max_s",
        "echo_max_s is 8, above one control period (5 s)",
        "at most one control period (5 s)",
    ),
    Broken(
        "line_watchdog_too_short",
        LINE,
        "watchdog_s: 15",
        "watchdog_s: 6",
        "plc.watchdog_s",
        "6 s is less than two control periods",
        "at least 10 s; three periods are usual",
    ),
    Broken(
        "line_lab_slower_than_its_samples",
        LINE,
        "lab_delay_s: 120",
        "lab_delay_s: 420",
        "instruments.lab_delay_s",
        "a result takes 420 s, but samples come every 300 s and the tester holds one at a time",
        "below 300 s, or a longer lab_period_s",
    ),
    Broken(
        "line_settling_too_short",
        LINE,
        "settling_time_s: 70",
        "settling_time_s: 50",
        "feeders[2].settling_time_s",
        "50 s is shorter than the window of the flow signal",
        "at least 60 s, else the flow still sees the refill",
    ),
    Broken(
        "line_turret_too_slow",
        LINE,
        "nominal: 46.3, lo: 25.0, hi: 75.0",
        "nominal: 40.0, lo: 25.0, hi: 45.0",
        "manipulated[6]",
        "the nominal point needs 46.3 rpm, outside 25 to 45 rpm",
        "a range of Line/Press/TurretSpeed that holds 46.3 rpm, or another product or press",
    ),
    Broken(
        "line_filler_is_not_the_blends",
        LINE,
        "../../../configs/materials/filler.yaml",
        "../../../configs/materials/mcc_ph102.yaml",
        "feeders",
        "the components have a true density of 1504.6 kg/m3 instead of 1520 and a bulk density of",
        "components that give 1520 and 480 kg/m3 within 0.5 %, or a blend with 1504.6 and",
    ),
    Broken(
        "line_screw_too_slow",
        LINE,
        "screw_speed_max_rpm: 120\n    flow_window_s: 10",
        "screw_speed_max_rpm: 30\n    flow_window_s: 10",
        "feeders[1].screw_speed_max_rpm",
        "the recipe needs 39.58 rpm of Filler",
        "above 39.58 rpm, or a larger screw (feed_factor_max_g_rev)",
    ),
    Broken(
        "line_ratio_not_the_products",
        LINE,
        "nominal: 10.0, lo: 9.5",
        "nominal: 9.8, lo: 9.5",
        "manipulated[1].nominal",
        "nominal 9.8 % of Line/Formulation/ApiRatio is not the product's api_percent",
        "10 %",
    ),
    Broken(
        "line_key_twice",
        LINE,
        "  hold_up_kg: 0.35\n",
        "  hold_up_kg: 0.35\n  hold_up_kg: 0.40\n",
        "feed_frame.hold_up_kg",
        "the key 'hold_up_kg' occurs twice (first in line ",
        "one of the two entries",
    ),
    Broken(
        "line_indentation",
        LINE,
        "  paddle_speed_rpm: 60",
        " paddle_speed_rpm: 60",
        "(whole file)",
        "not valid YAML: expected <block end>, but found '<block mapping start>'",
        "YAML with consistent indentation, closed quotes and brackets",
    ),
    Broken(
        "product_die_does_not_fit",
        PRODUCT,
        "die_area_mm2: 50.27",
        "die_area_mm2: 63.62",
        "die_area_mm2",
        "63.62 mm2 is not the area of a flat round tablet of 8 mm",
        "50.27 mm2",
    ),
    Broken(
        "product_weight_outside_limits",
        PRODUCT,
        "weight_mg: 200.0",
        "weight_mg: 215.0",
        "weight_mg",
        "weight_mg 215 is not between 190 and 210",
        "a value between 190 and 210, or wider limits",
    ),
    Broken(
        "product_blend_cannot_be_pressed",
        PRODUCT,
        "reference_blend.yaml",
        "api.yaml",
        "blend",
        "the blend 'API' has no 'compaction'",
        "a material with 'compaction' and 'strength', since it is pressed",
    ),
    Broken(
        "product_no_room_for_filler",
        PRODUCT,
        "api_percent: 10.0",
        "api_percent: 99.5",
        "api_percent",
        "api_percent and lubricant_percent leave no room for the filler",
        "shares of API and lubricant that sum up to less than 100 %",
    ),
    Broken(
        "product_absolute_path",
        PRODUCT,
        "../../../configs/materials/reference_blend.yaml",
        "/etc/hostname",
        "blend",
        "'/etc/hostname' is an absolute path",
        "a path relative to the file",
    ),
    Broken(
        "product_zone_upside_down",
        PRODUCT,
        "{lo: 3.15, hi: 3.50}",
        "{lo: 3.50, hi: 3.15}",
        "thickness_zone_mm.lo",
        "zone: the lower value 3.5 is not below the upper 3.15",
        "a lower value below 3.15, or an upper value above 3.5",
    ),
    Broken(
        "product_cap_below_zone",
        PRODUCT,
        "main_force_cap_kn: 14.0",
        "main_force_cap_kn: 11.0",
        "main_force_cap_kn",
        "main_force_cap_kn is below the main-force zone",
        "a value at or above the main-force zone",
    ),
    Broken(
        "material_denser_loose_than_solid",
        MATERIAL,
        "bulk_density_kg_m3: 462",
        "bulk_density_kg_m3: 1620",
        "bulk_density_kg_m3",
        "bulk and true density (kg/m3): the lower value 1620 is not below the upper 1540",
        "a lower value below 1540, or an upper value above 1620",
    ),
    Broken(
        "material_never_compacts",
        MATERIAL,
        "kawakita_a: 0.716",
        "kawakita_a: 0.30",
        "compaction.kawakita_a",
        "with this kawakita_a the powder could never be compacted to tablet density",
        "a kawakita_a close to or above 1 - initial_density",
    ),
    Broken(
        "material_quoted_number",
        MATERIAL,
        "true_density_kg_m3: 1540",
        'true_density_kg_m3: "1540"',
        "true_density_kg_m3",
        "'1540' is of the wrong type",
        "a number above 100 and below 10000 (kg/m3)",
    ),
    Broken(
        "material_newer_schema",
        MATERIAL,
        "schema: 1",
        "schema: 2",
        "schema",
        "schema 2 is unknown",
        "schema: 1",
    ),
    Broken(
        "material_without_kind",
        MATERIAL,
        "kind: material\n",
        "",
        "kind",
        "'kind' is missing",
        "one of line, material, product, ",
    ),
    Broken(
        "material_misspelt_kind",
        MATERIAL,
        "kind: material",
        "kind: materiel",
        "kind",
        "'materiel' is no kind of configuration",
        "; did you mean 'material'?",
    ),
    Broken(
        "material_anchor",
        MATERIAL,
        "kawakita_a: 0.716",
        "kawakita_a: &a 0.716",
        "(whole file)",
        "anchors and aliases are not allowed",
        "the value written out",
    ),
    Broken(
        "material_list",
        None,
        None,
        "- 1540\n- 462\n",
        "(whole file)",
        "the file is not a mapping",
        "keys, first 'kind:'",
    ),
    Broken(
        "material_empty",
        None,
        None,
        "# nothing but a comment\n",
        "(whole file)",
        "the file is empty",
        "a configuration that starts with 'kind:'",
    ),
    Broken(
        "scenario_event_unknown",
        SCENARIO,
        "event: lot_change",
        "event: lot_chnage",
        "events[1].event",
        "'lot_chnage' is none of the choices",
        "; did you mean 'lot_change'?",
    ),
    Broken(
        "scenario_event_after_the_end",
        SCENARIO,
        "kill_plant, at: 0.80",
        "kill_plant, at: 1.80",
        "events[5].at",
        "1.8 is above 1",
        "a number at least 0 and at most 1",
    ),
    Broken(
        "scenario_noise_not_stationary",
        SCENARIO,
        "[0.9, -0.3]",
        "[0.9, 0.3]",
        "truth.feeding.arma_phi",
        "arma_phi 0.9, 0.3 is not stationary: the noise would grow without bound",
        "|phi2| < 1, phi1 + phi2 < 1 and phi2 - phi1 < 1",
    ),
    Broken(
        "scenario_no_such_feeder",
        SCENARIO,
        "role: filler, lot",
        "role: excipient, lot",
        "events[1].role",
        "'reference line' has no feeder with role 'excipient'",
        "one of api, filler, lubricant",
    ),
    Broken(
        "scenario_start_up_too_short",
        SCENARIO,
        "start_up_minutes: 15",
        "start_up_minutes: 5",
        "start_up_minutes",
        "5 min is shorter than the start-up sequence of 'reference line'",
        "at least 15 min (plc.start_up_s of the line)",
    ),
    Broken(
        "scenario_line_is_itself",
        SCENARIO,
        "line: ../../../configs/lines/reference.yaml",
        "line: scenario_line_is_itself.yaml",
        "line",
        "'scenario_line_is_itself.yaml' leads back to this file",
        "the path of a line",
    ),
    Broken(
        "controller_algorithm_unknown",
        CONTROLLER,
        "algorithm: nmpc",
        "algorithm: mpc",
        "algorithm",
        "'mpc' is none of the choices",
        "one of 'nmpc', 'lmpc', 'pid', 'plc'",
    ),
    Broken(
        "controller_period_not_the_plcs",
        CONTROLLER,
        "period_s: 5",
        "period_s: 10",
        "period_s",
        "10 s is not the control period of 'reference line'",
        "5 s (plc.control_period_s of the line)",
    ),
    Broken(
        "controller_without_line",
        CONTROLLER,
        "line: ../../../configs/lines/reference.yaml\n",
        "",
        "line",
        "'line' is missing",
        "the path of a line, relative to this file",
    ),
    Broken(
        "tagmap_no_such_tag",
        TAGMAP,
        "Line/Feeder3/MassFlow/PV",
        "Line/Feeder3/MasFlow/PV",
        "tags.Line/Feeder3/MasFlow/PV",
        "'reference line' has no tag 'Line/Feeder3/MasFlow/PV'",
        "did you mean 'Line/Feeder3/MassFlow/PV'?",
    ),
    Broken(
        "tagmap_scaled_heartbeat",
        TAGMAP,
        "{node: DB_Handshake.Heartbeat}",
        "{node: DB_Handshake.Heartbeat, scale: 0.1}",
        "tags.Line/PLC/HB",
        "'Line/PLC/HB' is of type Int64, which cannot be scaled",
        "an entry without scale and offset",
    ),
    Broken(
        "tagmap_scale_zero",
        TAGMAP,
        "scale: 3.6",
        "scale: 0",
        "tags.Line/Feeder1/MassFlow/PV.scale",
        "scale must not be 0, else nothing could be written",
        "a scale other than 0",
    ),
    Broken(
        "recording_force_in_rpm",
        RECORDING,
        "{column: main_comp, unit: kN}",
        "{column: main_comp, unit: rpm}",
        "channels.main_force",
        "main_force: 'rpm' is no unit of it",
        "one of 'kN', 'N', 'daN'",
    ),
    Broken(
        "recording_column_of_two_channels",
        RECORDING,
        "{column: cyl_pre, unit: mm}",
        "{column: cyl_main, unit: mm}",
        "channels.pre_thickness",
        "the column 'cyl_main' is already thickness",
        "a column of its own for every channel",
    ),
    Broken(
        "recording_zone_unknown",
        RECORDING,
        "zone: UTC ",
        "zone: Mars/Olympus ",
        "time.zone",
        "'Mars/Olympus' is no time zone",
        "a name such as UTC or Europe/Ljubljana",
    ),
    Broken(
        "recording_without_force",
        RECORDING,
        "main_force: {column: main_comp, unit: kN}",
        "main_force: null",
        "channels.main_force",
        "nothing is of the wrong type",
        "a mapping with column, unit",
    ),
    Broken(
        "controller_set_not_there",
        CONTROLLER,
        "period_s: 5\n",
        "period_s: 5\nproduct_set: ../../../configs/product_sets/reference_tablets.yaml\n",
        "product_set",
        "does not exist",
        "did you mean 'reference_tablet.yaml'?",
    ),
    Broken(
        "controller_set_is_of_others",
        CONTROLLER,
        "period_s: 5\n",
        "period_s: 5\nproduct_set: ../../../configs/product_sets/reference_tablet.yaml\n",
        "product_set",
        "does not hold the tuning of 'broken controller'; it has nmpc, lmpc, pid, plc",
        "this file in the set's 'controllers', under a new version; or another set",
    ),
    Broken(
        "set_status_unknown",
        SET,
        "status: approved",
        "status: aproved",
        "status",
        "'aproved' is none of the choices",
        "one of 'draft', 'approved', 'retired'",
    ),
    Broken(
        "set_controller_not_there",
        SET,
        "controllers/pid.yaml",
        "controllers/pidd.yaml",
        "controllers[2]",
        "does not exist",
        "did you mean 'pid.yaml'?",
    ),
    Broken(
        "set_controller_is_a_line",
        SET,
        "controllers/pid.yaml",
        "lines/reference.yaml",
        "controllers[2]",
        "is a line",
        "the path of a controller",
    ),
    Broken(
        "set_controller_twice",
        SET,
        "controllers/pid.yaml",
        "controllers/plc.yaml",
        "controllers[3]",
        "'plc' is named twice",
        "controllers of other names",
    ),
    Broken(
        "set_controller_of_another_line",
        SET,
        "controllers/pid.yaml",
        "controllers/press_monitor.yaml",
        "controllers[2]",
        "controls recorded_press.yaml, the set is for reference.yaml",
        "a controller of reference.yaml",
    ),
    Broken(
        "set_normal_wider_than_filed",
        SET,
        "{lo: 4.85, hi: 5.15}",
        "{lo: 4.85, hi: 5.45}",
        "normal.Line/Formulation/ApiRatio",
        "4.85..5.45 is not within the filed range 4.75..5.25",
        "a range within 4.75..5.25",
    ),
    Broken(
        "set_range_of_no_mv",
        SET,
        "  Line/Press/MainForceSP: {lo: 5.5, hi: 10.0}",
        "  Line/Press/MainForce: {lo: 5.5, hi: 10.0}",
        "normal.Line/Press/MainForce",
        "the line has no MV 'Line/Press/MainForce'",
        "Line/Press/MainForceSP",
    ),
    Broken(
        "set_range_upside_down",
        SET,
        "{lo: 14.0, hi: 22.0}",
        "{lo: 22.0, hi: 14.0}",
        "normal.Line/Formulation/TotalFeed.lo",
        "22 is not below the upper 14",
        "a lower value below 14",
    ),
    Broken(
        "set_normal_without_filed",
        SET,
        "  Line/Press/TurretSpeed: {lo: 25.0, hi: 70.0}\n",
        "",
        "normal.Line/Press/TurretSpeed",
        "has a normal range but no filed one",
        "an entry under 'filed' too",
    ),
    Broken(
        "set_nominal_outside_normal",
        SET,
        "{lo: 14.0, hi: 22.0}",
        "{lo: 14.0, hi: 17.0}",
        "normal.Line/Formulation/TotalFeed",
        "the nominal 18 kg/h of Line/Formulation/TotalFeed lies outside 14..17",
        "a range that holds 18 kg/h",
    ),
    Broken(
        "set_filed_beside_the_line",
        SET,
        "Line/Press/TurretSpeed: {lo: 30.0, hi: 65.0}",
        "Line/Press/TurretSpeed: {lo: 48.0, hi: 65.0}",
        "normal.Line/Press/TurretSpeed",
        "the nominal 46.3 rpm of Line/Press/TurretSpeed lies outside 48..65",
        "a range that holds 46.3 rpm",
    ),
    Broken(
        "set_mv_twice",
        SET,
        "tag: Line/Press/FillDepth",
        "tag: Line/Press/Thickness",
        "manipulated[3].tag",
        "'Line/Press/Thickness' occurs twice",
        "one entry per MV",
    ),
    Broken(
        "set_thickness_does_not_press",
        SET,
        "press: {thickness_mm: 2.740",
        "press: {thickness_mm: 2.840",
        "manipulated[3].nominal",
        "2.74 mm is not press.thickness_mm",
        "2.84 mm in both places",
    ),
)


def write() -> None:
    for case in CASES:
        case.path.write_text(case.text(), "utf-8")


if __name__ == "__main__":
    write()
