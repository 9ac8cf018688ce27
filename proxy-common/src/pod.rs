//! Types that are plain bytes: no padding, no pointer, every bit pattern valid.
#![expect(unsafe_code, reason = "the one place that says which types are plain bytes")]

/// A type that may be copied to and from a BPF map as bytes.
///
/// # Safety
/// The type is `repr(C)` or `repr(transparent)`, has no implicit padding, holds no reference, and every bit pattern
/// of its size is a valid value.
pub unsafe trait Pod: Sized + 'static {}

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        $(
            // SAFETY: `repr(C)` integers and arrays of them, explicit padding; sizes are asserted beside each type.
            unsafe impl Pod for $type {}
        )+
    };
}

pod!(u8, u16, u32, u64);
pod!(crate::addr::Be16, crate::addr::Be32, crate::addr::Ip4, crate::addr::Ip6);
pod!(crate::flow::FlowKey<crate::addr::Ip4>, crate::flow::FlowKey<crate::addr::Ip6>);
pod!(crate::flow::Flow<crate::addr::Ip4>, crate::flow::Flow<crate::addr::Ip6>);
pod!(crate::flow::FragmentKey<crate::addr::Ip4>, crate::flow::FragmentKey<crate::addr::Ip6>);
pod!(crate::listener::ListenerKey<crate::addr::Ip4>, crate::listener::ListenerKey<crate::addr::Ip6>);
pod!(crate::listener::Listener, crate::listener::Name);
pod!(crate::backend::Backend<crate::addr::Ip4>, crate::backend::Backend<crate::addr::Ip6>);
pod!(crate::backend::NatSource<crate::addr::Ip4>, crate::backend::NatSource<crate::addr::Ip6>);
pod!(crate::flow::YoungSlot<3>, crate::flow::YoungSlot<6>);
pod!(crate::hop::Hop, crate::hop::VlanDevice);
pod!(crate::plan::Plan, crate::plan::CountedSet, crate::plan::LimitCount, crate::plan::LimitRecord);
pod!(crate::plan::ExemptKey<crate::addr::Ip4>, crate::plan::ExemptKey<crate::addr::Ip6>);
pod!(crate::bucket::BucketSet, crate::limit_event::Event);
pod!(
    crate::counters::Traffic,
    crate::settings::Settings,
    crate::maglev::Ring,
    crate::listener::DestinationFilter,
    crate::guard::GuardSettings,
    crate::guard::GuardRule,
    crate::guard::Guard,
);
pod!(
    crate::sni::NameFilter,
    crate::sni::NameKey,
    crate::sni::NameEntry,
    crate::sni::NameCount,
    crate::sni::PeekRule
);
pod!(crate::sni::NoteKey, crate::sni::Note, crate::sni::Trace, crate::sni::Told);
pod!(crate::splice::Splice);
pod!(crate::ban::NoteKey, crate::ban::Note, crate::ban::ListName);

// SAFETY: an array of plain bytes is plain bytes.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}
