//! What the machine is made of.

use hawsepipe_host::hardware;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "hardware",
    about: "What the machine is made of, and whether that works: NVMe controllers, watchdogs, what the firmware \
            says, SELinux. Names that begin with `hw.` are those of OpenTelemetry's hardware conventions, the others \
            are ours",
    reads: &["/sys/class/nvme", "/sys/class/watchdog", "/sys/class/dmi/id", "/sys/fs/selinux"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// 1 for the state that an NVMe controller is in, 0 for the others: `ok`, `degraded` (it is reset), `failed`
    STATUS: UpDownCounter Int "hw.status" "1" ["hw.id", "hw.type", "hw.model", "hw.state"] on;
    /// 0 unless the watchdog has reset the machine; otherwise why, as a mask of the kernel's `WDIOF_*`
    BOOT_STATUS: Gauge Int "system.linux.watchdog.boot_status" "1" ["device"] on;
    /// Time after which the watchdog resets a machine that does not tend it
    TIMEOUT: UpDownCounter Int "system.linux.watchdog.timeout" "s" ["device"] off;
    /// 1, with what the firmware says of the machine
    MACHINE: Gauge Int "system.linux.machine" "1"
        ["hw.vendor", "hw.model", "hw.firmware_version"] off;
    /// Whether SELinux forbids (1) or only tells (0); nothing where it is off
    ENFORCING: Gauge Int "system.linux.selinux.enforcing" "1" [] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let nvme = tick.read_if_there(hardware::nvme)?;
    let watchdogs = tick.read_if_there(hardware::watchdogs)?;
    let machine = tick.read_if_there(hardware::machine)?;
    let selinux = tick.read_if_there(hardware::selinux)?;
    if nvme.is_none() && watchdogs.is_none() && machine.is_none() && selinux.is_none() {
        let reason = "the kernel shows nothing of the hardware".to_owned();
        return Err(CollectError::Unavailable(reason));
    }
    let mut status = out.metric(&STATUS);
    for controller in nvme.iter().flat_map(|all| all.iter()) {
        let model = controller.model.as_deref().unwrap_or_default();
        let is = match controller.state.as_deref() {
            Some("live") => "ok",
            Some("dead" | "deleting" | "deleting (no IO)") => "failed",
            // `new`, `resetting`, `connecting`.
            Some(_) => "degraded",
            None => continue,
        };
        for state in ["ok", "degraded", "failed"] {
            let values = [&*controller.name, "physical_disk", model, state];
            status.push(u64::from(state == is), &values);
        }
    }
    let watchdogs = || watchdogs.iter().flat_map(|all| all.iter());
    let mut boot = out.metric(&BOOT_STATUS);
    watchdogs().for_each(|it| boot.maybe(it.boot_status, &[&it.name]));
    let mut timeout = out.metric(&TIMEOUT);
    watchdogs().for_each(|it| timeout.maybe(it.timeout, &[&it.name]));
    if let Some(it) = machine {
        let [vendor, product, firmware] = [&it.vendor, &it.product, &it.firmware_version]
            .map(|text| text.as_deref().unwrap_or_default());
        out.metric(&MACHINE).push(1_u64, &[vendor, product, firmware]);
    }
    out.metric(&ENFORCING).maybe(selinux.map(|it| u64::from(it.is_enforcing)), &[]);
    Ok(())
}
