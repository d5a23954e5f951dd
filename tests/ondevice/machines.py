"""/sys of machines that are not here, as their kernels write it, and a Raspberry Pi's vcgencmd, in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_CPU = "sys/devices/system/cpu"
Files = dict[str, str]


def make(root: Path, files: Mapping[str, str]) -> str:
    """Writes the files; cpuN/cpufreq become the links that they are. Programs are those below usr/bin."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        if name.startswith("usr/bin/"):
            path.chmod(0o755)
    for policy in (root / _CPU / "cpufreq").glob("policy*"):
        for core in (policy / "related_cpus").read_text().split():
            (root / _CPU / f"cpu{core}").mkdir(exist_ok=True)
            (root / _CPU / f"cpu{core}" / "cpufreq").symlink_to(policy)
    return str(root)


def policy(cores: str, governor: str, now_khz: int, limit_khz: int, max_khz: int) -> Files:
    """Documentation/admin-guide/pm/cpufreq.rst; `cores` as in "0 1 2 3"."""
    folder = f"{_CPU}/cpufreq/policy{cores.split(maxsplit=1)[0]}"
    values = {
        "related_cpus": cores, "affected_cpus": cores, "scaling_governor": governor, "scaling_cur_freq": now_khz,
        "scaling_max_freq": limit_khz, "cpuinfo_max_freq": max_khz,
    }  # fmt: skip
    return {f"{folder}/{name}": str(value) for name, value in values.items()}


def zones(*types_and_milli_c: tuple[str, int]) -> Files:
    files = {}
    for index, (kind, milli_c) in enumerate(types_and_milli_c):
        files[f"sys/class/thermal/thermal_zone{index}/type"] = kind
        files[f"sys/class/thermal/thermal_zone{index}/temp"] = str(milli_c)
    return files


def vcgencmd(throttled: str, pmic: str = "") -> Files:
    """A program that answers as Raspberry Pi OS's does; before the Pi 5 the firmware knows no pmic_read_adc."""
    unknown = 'error=1 error_msg="Command not registered"'
    script = f"""#!/bin/sh
case "$1" in
get_throttled) echo 'throttled={throttled}' ;;
pmic_read_adc) cat <<'END'
{pmic or unknown}
END
;;
*) echo '{unknown}'; exit 255 ;;
esac"""
    return {"usr/bin/vcgencmd": script}


# Raspberry Pi OS bookworm on a Pi 4 B: 1.8 GHz since arm_boost=1, one policy, one zone; hwmon is of that zone.
PI_4: Files = {
    f"{_CPU}/online": "0-3",
    **policy("0 1 2 3", "ondemand", 1_800_000, 1_800_000, 1_800_000),
    **zones(("cpu-thermal", 48_686)),
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
    "sys/class/hwmon/hwmon0/temp1_input": "48686",
    "sys/class/hwmon/hwmon1/name": "rpi_volt",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0",
    **vcgencmd("0x0"),
}

# As a Pi 5 prints it under load on all cores (github.com/raspberrypi/firmware, forums.raspberrypi.com); EXT5V and BATT
# have no current, and DDR_VDDQ is often 0.
PMIC = """     3V7_WL_SW_A current(0)=0.05855580A
       3V3_SYS_A current(1)=0.06148359A
       1V8_SYS_A current(2)=0.13272650A
      DDR_VDD2_A current(3)=0.13955800A
      DDR_VDDQ_A current(4)=0.00980400A
       1V1_SYS_A current(5)=0.19811380A
        0V8_SW_A current(6)=0.34157550A
      VDD_CORE_A current(7)=5.03652000A
       3V3_DAC_A current(17)=0.00006105A
       3V3_ADC_A current(18)=0.00054945A
       0V8_AON_A current(16)=0.00531135A
          HDMI_A current(22)=0.02161170A
     3V7_WL_SW_V volt(8)=3.61069200V
       3V3_SYS_V volt(9)=3.29982600V
       1V8_SYS_V volt(10)=1.81684800V
      DDR_VDD2_V volt(11)=1.10109800V
      DDR_VDDQ_V volt(12)=0.60366240V
       1V1_SYS_V volt(13)=1.10292900V
        0V8_SW_V volt(14)=0.80292960V
      VDD_CORE_V volt(15)=0.89369880V
       3V3_DAC_V volt(20)=3.29944700V
       3V3_ADC_V volt(21)=3.30402600V
       0V8_AON_V volt(19)=0.79618980V
          HDMI_V volt(23)=4.92450000V
         EXT5V_V volt(24)=4.92450000V
          BATT_V volt(25)=0.00341880V"""

PI_5: Files = {
    f"{_CPU}/online": "0-3",
    **policy("0 1 2 3", "ondemand", 2_400_000, 2_400_000, 2_400_000),
    **zones(("cpu-thermal", 61_150)),
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
    "sys/class/hwmon/hwmon2/name": "pwmfan",
    **vcgencmd("0x50005", PMIC),
}


def _intel_cores() -> Files:
    files = {}
    for core in range(8):
        # Turbo Boost Max 3.0: two cores are favoured, and each core has a policy of its own under intel_pstate.
        files |= policy(
            str(core), "powersave", 2_100_000 + core, 4_700_000, 4_900_000 if core in (2, 3) else 4_700_000
        )
        files[f"{_CPU}/cpu{core}/thermal_throttle/core_throttle_count"] = "3" if core == 5 else "0"
        files[f"{_CPU}/cpu{core}/thermal_throttle/core_throttle_total_time_ms"] = "0"
        files[f"{_CPU}/cpu{core}/thermal_throttle/package_throttle_count"] = "11"
        files[f"{_CPU}/cpu{core}/topology/physical_package_id"] = "0"
    return files


# A ThinkPad with an i7-1185G7: two ACPI zones, a chipset's, the package's, Wi-Fi's; RAPL, which only root reads.
INTEL_LAPTOP: Files = {
    f"{_CPU}/online": "0-7",
    **_intel_cores(),
    **zones(
        ("INT3400 Thermal", 20_000), ("SEN1", 45_050), ("acpitz", 47_000), ("acpitz", 0), ("pch_cannonlake", 44_500),
        ("x86_pkg_temp", 52_000), ("iwlwifi_1", -273_150),
    ),
    "sys/class/hwmon/hwmon4/name": "coretemp",
    "sys/class/hwmon/hwmon4/temp1_input": "52000",
    "sys/class/hwmon/hwmon4/temp1_label": "Package id 0",
    "sys/class/hwmon/hwmon4/temp2_input": "50000",
    "sys/class/hwmon/hwmon4/temp2_label": "Core 0",
    "sys/class/hwmon/hwmon5/name": "nvme",
    "sys/class/hwmon/hwmon5/temp1_input": "70850",
    "sys/class/powercap/intel-rapl/enabled": "1",
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": "262143000000",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "81234567890",
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850",
    "sys/class/powercap/intel-rapl:1/name": "psys",
    "sys/class/powercap/intel-rapl:1/energy_uj": "98765432100",
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": "262143328850",
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "262143000000",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "1",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/status": "Not charging",
    "sys/class/power_supply/BAT0/capacity": "79",
    "sys/class/power_supply/BAT0/power_now": "0",
    "sys/class/power_supply/BAT0/voltage_now": "16384000",
    # A mouse.
    "sys/class/power_supply/hidpp_battery_0/type": "Battery",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device",
    "sys/class/power_supply/hidpp_battery_0/status": "Discharging",
}  # fmt: skip

# A Core i5-1240P: four P cores with two threads each, eight E cores (tools/perf/Documentation/intel-hybrid.txt).
INTEL_HYBRID: Files = {
    f"{_CPU}/online": "0-15",
    "sys/devices/cpu_core/cpus": "0-7",
    "sys/devices/cpu_atom/cpus": "8-15",
}

# A Pixel 6's (Tensor G1): four A55, two A76, two X1; capacities of their device tree; zones that are no temperatures.
PHONE: Files = {
    f"{_CPU}/online": "0-7",
    **policy("0 1 2 3", "sched_pixel", 738_000, 1_803_000, 1_803_000),
    **policy("4 5", "sched_pixel", 1_197_000, 2_253_000, 2_253_000),
    **policy("6 7", "sched_pixel", 2_252_000, 2_252_000, 2_802_000),
    **{f"{_CPU}/cpu{core}/cpu_capacity": "250" for core in range(4)},
    **{f"{_CPU}/cpu{core}/cpu_capacity": "620" for core in (4, 5)},
    **{f"{_CPU}/cpu{core}/cpu_capacity": "1024" for core in (6, 7)},
    **zones(("BIG", 67_000), ("MID", 61_000), ("LITTLE", 58_000), ("ibat", 1_432_000), ("battery", 33_200)),
    "sys/class/power_supply/battery/type": "Battery",
    "sys/class/power_supply/battery/status": "Discharging",
    "sys/class/power_supply/battery/capacity": "63",
    "sys/class/power_supply/battery/current_now": "-412500",
    "sys/class/power_supply/battery/voltage_now": "3954375",
    "sys/class/power_supply/battery/charge_counter": "2802000",
    "sys/class/power_supply/usb/type": "USB",
    "sys/class/power_supply/usb/online": "0",
}

# NVIDIA's Jetson Orin Nano (docs.nvidia.com/jetson, "Power Supported Features"): an INA3221 of three rails.
JETSON: Files = {
    f"{_CPU}/online": "0-5",
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon1/in1_input": "5056",
    "sys/class/hwmon/hwmon1/curr1_input": "944",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "sys/class/hwmon/hwmon1/in2_input": "5056",
    "sys/class/hwmon/hwmon1/curr2_input": "112",
    "sys/class/hwmon/hwmon1/in3_label": "VDD_SOC",
    "sys/class/hwmon/hwmon1/in3_input": "5048",
    "sys/class/hwmon/hwmon1/curr3_input": "320",
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages",
    "sys/class/hwmon/hwmon1/in7_input": "3",
    "sys/class/hwmon/hwmon1/curr4_input": "1376",
}

# A board whose supply goes through an INA219 on I2C (Documentation/hwmon/ina2xx.rst), beside a graphics card's own.
INA219: Files = {
    "sys/class/hwmon/hwmon0/name": "amdgpu",
    "sys/class/hwmon/hwmon0/power1_average": "42500000",
    "sys/class/hwmon/hwmon3/name": "ina219",
    "sys/class/hwmon/hwmon3/in0_input": "6",
    "sys/class/hwmon/hwmon3/in1_input": "5080",
    "sys/class/hwmon/hwmon3/curr1_input": "630",
    "sys/class/hwmon/hwmon3/power1_input": "3200000",
}
