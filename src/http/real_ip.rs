//! Where a request comes from: the peer, or what a trusted proxy says (auth.md §8).

use std::net::IpAddr;

use actix_web::http::header::HeaderMap;

use crate::ops::settings::TrustedProxy;

/// The address, if there is a peer at all.
pub(super) fn real_ip(headers: &HeaderMap, peer: Option<IpAddr>, proxy: &TrustedProxy) -> Option<IpAddr> {
    for name in &proxy.headers {
        // The last header is the one that the nearest proxy wrote.
        let Some(value) = headers.get_all(name.as_str()).last().and_then(|value| value.to_str().ok()) else { continue };
        let mut addresses = value.split(',').filter_map(|text| text.trim().parse().ok());
        let found = if proxy.use_leftmost_ip { addresses.next() } else { addresses.next_back() };
        if found.is_some() {
            return found;
        }
    }
    peer
}

/// An address as text; of version 6 with all its digits, as the reference writes and hashes them.
pub fn expanded(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_address_by_proxy_settings() {
        let request = TestRequest::get()
            .append_header(("X-Forwarded-For", "9.9.9.9"))
            .append_header(("X-Forwarded-For", "1.1.1.1, bad, 2.2.2.2, unknown"))
            .append_header(("X-Real", "::1"))
            .to_http_request();
        let peer = "127.0.0.1".parse().ok();
        let ip = |headers: &[&str], use_leftmost_ip| {
            let headers = headers.iter().map(|name| name.to_string()).collect();
            let ip = real_ip(request.headers(), peer, &TrustedProxy { headers, use_leftmost_ip });
            expanded(ip.unwrap())
        };
        assert_eq!(ip(&[], false), "127.0.0.1");
        assert_eq!(ip(&["X-Missing", "X-Forwarded-For"], false), "2.2.2.2");
        assert_eq!(ip(&["x-forwarded-for"], true), "1.1.1.1");
        assert_eq!(ip(&["X-Real"], true), "0000:0000:0000:0000:0000:0000:0000:0001");
        assert_eq!(ip(&["bad name\n"], true), "127.0.0.1");
    }
}
