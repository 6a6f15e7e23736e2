//! Which deliveries of a channel are settled, and the fewest frames that say so.

use std::collections::BTreeSet;

use crate::consumer::Settlement;

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// `multiple` acknowledges every outstanding delivery up to the tag.
    Acknowledge {
        tag: u64,
        multiple: bool,
    },
    Requeue {
        tag: u64,
    },
}

/// The deliveries of one channel. Tags count up from 1 without gaps, over all consumers of the channel; they are not
/// seen in that order, since each consumer has a stream of its own. So one frame for many is only used up to the
/// first tag that is not settled, seen or not.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every tag up to here is settled.
    floor: u64,
    /// Settled tags above the floor.
    above: BTreeSet<u64>,
    /// Deliveries seen and not settled.
    outstanding: usize,
}

impl Ledger {
    /// A delivery has arrived that owes a settlement.
    pub(super) fn open(&mut self) {
        self.outstanding += 1;
    }

    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Books the settlements, each of an open delivery, and returns the frames that tell the broker.
    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> Vec<Frame> {
        let mut acknowledged = BTreeSet::new();
        let mut frames = Vec::new();
        for settlement in settlements {
            let tag = match *settlement {
                Settlement::Acknowledge(tag) => {
                    acknowledged.insert(tag);
                    tag
                }
                Settlement::Requeue(tag) => {
                    frames.push(Frame::Requeue { tag });
                    tag
                }
            };
            self.above.insert(tag);
        }
        self.outstanding = self.outstanding.saturating_sub(settlements.len());
        while self.above.first() == Some(&(self.floor + 1)) {
            self.above.pop_first();
            self.floor += 1;
        }
        let above = acknowledged.split_off(&(self.floor + 1));
        // After the requeues: they must not be swallowed by it.
        if let Some(&tag) = acknowledged.last() {
            let multiple = acknowledged.len() > 1;
            frames.push(Frame::Acknowledge { tag, multiple });
        }
        frames.extend(above.into_iter().map(|tag| Frame::Acknowledge { tag, multiple: false }));
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Settlement::{Acknowledge, Requeue};

    fn acknowledge(tag: u64, multiple: bool) -> Frame {
        Frame::Acknowledge { tag, multiple }
    }

    #[test]
    fn deliveries_settled_in_a_row_take_one_frame() {
        let mut ledger = Ledger::default();
        let frames = ledger.settle(&[Acknowledge(2), Acknowledge(1), Acknowledge(3)]);
        assert_eq!(frames, [acknowledge(3, true)]);
    }

    #[test]
    fn a_delivery_that_is_still_held_is_not_swallowed() {
        let mut ledger = Ledger::default();
        let frames = ledger.settle(&[Acknowledge(1), Acknowledge(3), Acknowledge(4)]);
        assert_eq!(
            frames,
            [acknowledge(1, false), acknowledge(3, false), acknowledge(4, false)]
        );
        assert_eq!(ledger.settle(&[Acknowledge(2)]), [acknowledge(2, false)]);
        assert_eq!(ledger.settle(&[Acknowledge(5), Acknowledge(6)]), [acknowledge(6, true)]);
    }

    #[test]
    fn what_goes_back_goes_back_before_its_neighbours_are_acknowledged() {
        let mut ledger = Ledger::default();
        let frames = ledger.settle(&[Acknowledge(1), Requeue(2), Acknowledge(3)]);
        assert_eq!(frames, [Frame::Requeue { tag: 2 }, acknowledge(3, true)]);
        assert_eq!(ledger.settle(&[Requeue(4)]), [Frame::Requeue { tag: 4 }]);
    }

    /// The broker's side: settles what the frames say and refuses a tag that is not outstanding, as RabbitMQ does.
    fn replay(frames: &[Frame], delivered: u64, settled: &mut BTreeSet<u64>, requeued: &mut BTreeSet<u64>) {
        for frame in frames {
            let tag = match *frame {
                Frame::Acknowledge { tag, .. } | Frame::Requeue { tag } => tag,
            };
            assert!(tag <= delivered && settled.insert(tag), "unknown delivery tag {tag}");
            match *frame {
                Frame::Acknowledge { multiple: true, .. } => settled.extend(1..tag),
                Frame::Acknowledge { multiple: false, .. } => {}
                Frame::Requeue { .. } => {
                    requeued.insert(tag);
                }
            }
        }
    }

    #[test]
    fn in_any_order_every_delivery_is_settled_once_and_as_told() {
        // A small generator is enough here: the order is what matters, and a failure names its seed.
        for seed in 1..2_000_u64 {
            let mut state = seed;
            let mut draw = |below: usize| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(state >> 33).expect("31 bits") % below
            };
            let (delivered, mut ledger) = (40, Ledger::default());
            let mut waiting: Vec<u64> = (1..=delivered).collect();
            let (mut settled, mut requeued, mut told) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let mut said = BTreeSet::new();
            while !waiting.is_empty() {
                let mut batch = Vec::new();
                for _ in 0..=draw(waiting.len().min(8)) {
                    let Some(position) = (!waiting.is_empty()).then(|| draw(waiting.len())) else {
                        break;
                    };
                    let tag = waiting.swap_remove(position);
                    said.insert(tag);
                    if draw(4) == 0 {
                        told.insert(tag);
                        batch.push(Requeue(tag));
                    } else {
                        batch.push(Acknowledge(tag));
                    }
                }
                replay(&ledger.settle(&batch), delivered, &mut settled, &mut requeued);
                assert_eq!(settled, said, "seed {seed}");
            }
            assert_eq!(requeued, told, "seed {seed}");
        }
    }
}
