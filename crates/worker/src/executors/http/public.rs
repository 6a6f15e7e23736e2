//! Which addresses belong to everybody. Those that do not are this machine, its neighbours and the metadata of a cloud:
//! what a request from inside reaches and one from outside does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Looked through in this order. The registry of special addresses of IANA, and what clouds took beside it.
const V4: &[(Ipv4Net, &str)] = &[
    (v4([168, 63, 129, 16], 32), METADATA),
    (v4([169, 254, 169, 254], 32), METADATA),
    (v4([100, 100, 100, 200], 32), METADATA),
    (v4([192, 0, 0, 192], 32), METADATA),
    (v4([0, 0, 0, 0], 8), "an address of this host itself"),
    (v4([10, 0, 0, 0], 8), "a private address"),
    (v4([100, 64, 0, 0], 10), "an address shared behind a carrier"),
    (v4([127, 0, 0, 0], 8), LOOPBACK),
    (v4([169, 254, 0, 0], 16), LINK_LOCAL),
    (v4([172, 16, 0, 0], 12), "a private address"),
    (v4([192, 0, 0, 0], 24), "an address of a protocol"),
    (v4([192, 0, 2, 0], 24), DOCUMENTATION),
    (v4([192, 88, 99, 0], 24), "a relay of 6to4"),
    (v4([192, 168, 0, 0], 16), "a private address"),
    (v4([198, 18, 0, 0], 15), "an address for benchmarks"),
    (v4([198, 51, 100, 0], 24), DOCUMENTATION),
    (v4([203, 0, 113, 0], 24), DOCUMENTATION),
    (v4([224, 0, 0, 0], 4), MULTICAST),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v4([240, 0, 0, 0], 4), "a reserved address"),
];

const V6: &[(Ipv6Net, &str)] = &[
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "an address of this host itself"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),
    (
        v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        "an IPv4 address inside of an IPv6 one",
    ),
    (
        v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
        "an IPv4 address inside of an IPv6 one",
    ),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "an IPv4 address behind NAT64"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "an IPv4 address behind NAT64"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "an IPv4 address behind Teredo"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "an address of a protocol"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), DOCUMENTATION),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "an IPv4 address behind 6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), DOCUMENTATION),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a private address"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "a private address"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),
];

/// Of IPv6, nothing else has been given to anybody.
const V6_GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const METADATA: &str = "an address of a cloud's own services";
const LOOPBACK: &str = "a loopback address";
const LINK_LOCAL: &str = "a link-local address";
const DOCUMENTATION: &str = "an address for documentation";
const MULTICAST: &str = "a multicast address";

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(address), prefix)
}

const fn v6(address: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(address), prefix)
}

/// What an address is instead of public; `None` of one that is.
pub(super) fn why_not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let special = V4.iter().find(|(network, _)| network.contains(&address));
            special.map(|(_, what)| *what)
        }
        IpAddr::V6(address) => {
            let special = V6.iter().find(|(network, _)| network.contains(&address));
            let special = special.map(|(_, what)| *what);
            special.or_else(|| (!V6_GLOBAL.contains(&address)).then_some("an address that was given to nobody"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str) -> Option<&'static str> {
        why_not_public(address.parse().expect(address))
    }

    /// The first and the last address of each, and what lies before and after.
    #[rustfmt::skip]
    const NETWORKS: &[(&str, &str, Option<&str>, Option<&str>)] = &[
        ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
        ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
        ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
        ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
        ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
        ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
        ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
        ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
        ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
        ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
        ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
        ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
        ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
        ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
        ("168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17")),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2001:200::")),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7:ffff::"), Some("2001:db9::")),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe::"), Some("3fff:1000::")),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::"), None),
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::")),
    ];

    #[test]
    fn the_first_and_the_last_address_of_each_special_network_are_told_and_their_neighbours_are_public() {
        for (first, last, before, after) in NETWORKS {
            assert!(told(first).is_some(), "{first}");
            assert!(told(last).is_some(), "{last}");
            for neighbour in [before, after].into_iter().flatten() {
                assert_eq!(told(neighbour), None, "{neighbour}");
            }
        }
    }

    #[test]
    fn each_address_is_told_for_what_it_is() {
        for (address, expected) in [
            ("169.254.169.254", METADATA),
            ("169.254.169.253", LINK_LOCAL),
            ("100.100.100.200", METADATA),
            ("fd00:ec2::254", METADATA),
            ("255.255.255.255", "the broadcast address"),
            ("255.255.255.254", "a reserved address"),
            ("239.1.1.1", MULTICAST),
            ("::", "an address of this host itself"),
            ("::1", LOOPBACK),
            ("::127.0.0.1", "an IPv4 address inside of an IPv6 one"),
            ("::ffff:8.8.8.8", "an IPv4 address inside of an IPv6 one"),
            ("64:ff9b::a00:1", "an IPv4 address behind NAT64"),
            ("64:ff9b:1::a00:1", "an IPv4 address behind NAT64"),
            ("2001::1", "an IPv4 address behind Teredo"),
            ("2001:20::1", "an address of a protocol"),
            ("2002:7f00:1::", "an IPv4 address behind 6to4"),
            ("fc00::1", "a private address"),
            ("fec0::1", "a private address"),
            ("fe80::1", LINK_LOCAL),
            ("ff02::1", MULTICAST),
            ("100::1", "an address that was given to nobody"),
            ("5f00::1", "an address that was given to nobody"),
        ] {
            assert_eq!(told(address), Some(expected), "{address}");
        }
        for address in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"] {
            assert_eq!(told(address), None, "{address}");
        }
    }
}
