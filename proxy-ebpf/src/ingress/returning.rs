//! Answers to young flows.

use proxy_common::{addr::Address, flow::FlowKind};

use crate::{translation, work::Work};

/// What is written into a packet under `work.asked`, from the backend of `work.young`.
#[inline(always)]
pub(super) fn returning<A: Address>(work: &mut Work<A>) {
    let Work { young, there, asked, rewrite, .. } = work;
    there.set(&young.service, &young.client, young.service_port, young.client_port, young.protocol);
    translation::nat(rewrite, asked, there, FlowKind::NatReturn, young.backend);
}
