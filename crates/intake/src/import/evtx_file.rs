use super::leaf::Leaf;
use super::session::Halt;
use crate::evtx::EvtxSink;
use yagura_event::Words;

impl EvtxSink for Leaf<'_, '_> {
    type Halt = Halt;

    fn chunk(&mut self) -> Result<(), Halt> {
        self.check_cancelled()
    }

    fn record(&mut self, json: &[u8]) -> Result<(), Halt> {
        Leaf::record(self, json)
    }

    fn damage(&mut self, place: Words, reason: Words) {
        self.report.damage(place, reason);
    }
}
