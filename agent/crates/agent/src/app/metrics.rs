//! Metrics that are read off the spool when someone looks, so that no counter beside it can differ from it.

use std::fmt::Error;
use std::sync::Arc;

use hawsepipe_model::Extent;
use hawsepipe_spool::{Lane, Spool};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Registers the spool's lanes and the ledger; `registry` has the prefix `hawsepipe`.
pub(crate) fn register(registry: &mut Registry, spool: &Arc<Spool>) {
    registry.register_collector(Box::new(Reading(Arc::clone(spool))));
}

#[derive(Debug)]
struct Reading(Arc<Spool>);

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let spool = &self.0;
        let lanes =
            [("files", spool.files()), ("pushed", spool.pushed()), ("sampled", spool.sampled())];
        for (name, lane) in lanes {
            encode_lane(&mut encoder, name, lane)?;
        }
        let syncs = ConstCounter::new(spool.pushed().usage().syncs);
        let help = "Times that frames of the lane were synced before their senders were told";
        let metric =
            encoder.encode_descriptor("spool_pushed_syncs", help, None, MetricType::Counter)?;
        syncs.encode(metric)?;
        encode_ledger(&mut encoder, &self.0)
    }
}

fn encode_lane(encoder: &mut DescriptorEncoder<'_>, name: &str, lane: &Lane) -> Result<(), Error> {
    let usage = lane.usage();
    let values = [
        ("used", "Bytes of the lane's files", Some(Unit::Bytes), usage.used),
        (
            "waiting",
            "Bytes of frames that a destination has not settled",
            Some(Unit::Bytes),
            usage.waiting,
        ),
        ("max", "The lane's budget", Some(Unit::Bytes), usage.capacity),
        ("frames", "Frames that a destination has not settled", None, usage.frames),
        ("segments", "Segment files of the lane", None, usage.segments as u64),
    ];
    for (what, help, unit, value) in values {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let name = format!("spool_{name}_{what}");
        let metric = encoder.encode_descriptor(&name, help, unit.as_ref(), MetricType::Gauge)?;
        gauge.encode(metric)?;
    }
    Ok(())
}

fn encode_ledger(encoder: &mut DescriptorEncoder<'_>, spool: &Spool) -> Result<(), Error> {
    let ledger = spool.ledger();
    type Of = fn(&Extent) -> u64;
    let kinds: [(&str, &str, Option<Unit>, Of); 3] = [
        ("loss_records", "Log records that did not arrive, or not whole", None, |it| it.records),
        ("loss", "Bytes of logs that did not arrive", Some(Unit::Bytes), |it| it.bytes),
        ("loss_unknown_extent", "Losses of which not even the extent is known", None, |it| {
            it.unknown
        }),
    ];
    for (name, help, unit, value) in kinds {
        let mut metric =
            encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (key, entry) in ledger.entries() {
            let labels = [
                ("namespace", &*key.namespace),
                ("pod", &*key.pod),
                ("destination", key.destination.as_deref().unwrap_or_default()),
                ("reason", key.reason.name()),
            ];
            let counter = ConstCounter::new(value(&entry.extent));
            counter.encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
