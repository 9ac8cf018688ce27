//! The book of bans, and the threads that write into it.

use std::sync::Arc;

use super::auto::AutoBan;
use super::desk::Bans;
use super::lists::BanLists;
use crate::admin::api::Refusal;
use crate::admin::bans::{BansAnswer, BansRequest};
use crate::ban::View;
use crate::config::Config;
use crate::control::dataplane::{Dataplane, DataplaneError};
use crate::telemetry::abuse::{self, Sink};
use crate::upstream::Registry;

/// Who is kept out.
#[derive(Debug)]
pub(in crate::control) struct KeptOut {
    bans: Bans,
    /// None: another daemon has the tables.
    writers: Option<(AutoBan, BanLists)>,
}

impl KeptOut {
    /// Takes over the bans that the kernel part has, if there is one. What clients do is to be told where this says.
    pub(in crate::control) fn start(kernel: Option<&dyn Dataplane>) -> Result<(Self, Sink), DataplaneError> {
        let place = kernel.map(Dataplane::bans).transpose()?.flatten();
        let bans = Bans::open(place)?;
        let (told, heard) = abuse::channel();
        let auto = AutoBan::start(bans.clone(), heard)?;
        let lists = BanLists::start(bans.clone())?;
        Ok((Self { bans, writers: Some((auto, lists)) }, told))
    }

    /// Makes all of it what a configuration wants.
    pub(in crate::control) fn configure(
        &self,
        config: &Config,
        registry: &Registry,
    ) -> Result<(), DataplaneError> {
        let Some((auto, lists)) = &self.writers else { return Ok(()) };
        auto.configure(&config.auto_bans);
        self.bans.configure(config, registry)?;
        lists.configure(&config.ban.lists);
        Ok(())
    }

    /// Another daemon has the tables: this one writes no more.
    pub(in crate::control) fn hand_over(&mut self) {
        self.writers = None;
    }

    /// What workers ask.
    pub(in crate::control) fn view(&self) -> &Arc<View> {
        self.bans.view()
    }

    /// Answers an operator.
    pub(in crate::control) fn answer(
        &self,
        request: BansRequest,
        uid: Option<u32>,
    ) -> Result<BansAnswer, Refusal> {
        self.bans.answer(request, uid)
    }
}
