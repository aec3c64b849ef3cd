use super::leaf::Leaf;
use super::session::Halt;
use crate::evtx::EvtxSink;

impl EvtxSink for Leaf<'_, '_> {
    type Halt = Halt;

    fn chunk(&mut self) -> Result<(), Halt> {
        self.check_cancelled()
    }

    fn record(&mut self, json: &[u8]) -> Result<(), Halt> {
        Leaf::record(self, json)
    }

    fn damage(&mut self, place: String, reason: String) {
        self.report.damage(place, reason);
    }
}
