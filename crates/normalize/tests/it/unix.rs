//! Messages of Unix servers: each lands in its dataset, is told what it does, and has a sentence that
//! says so in both languages.

use crate::common;
use common::{assert_said, describe};

/// Dataset, action, line.
const LINES: &[(&str, &str, &str)] = &[
    (
        "linux.auth",
        "ssh_login",
        "<38>Nov 21 09:15:02 web01 sshd[42]: message repeated 3 times: [ Failed password for root from 192.0.2.66 port 50022 ssh2]",
    ),
    (
        "linux.auth",
        "ssh_invalid_user",
        "<38>Nov 21 09:15:02 web01 sshd[42]: input_userauth_request: invalid user oracle [preauth]",
    ),
    (
        "linux.auth",
        "ssh_negotiation_failed",
        "<38>Nov 21 09:15:02 web01 sshd[42]: Unable to negotiate with 192.0.2.66 port 50022: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1 [preauth]",
    ),
    (
        "linux.auth",
        "ssh_subsystem",
        "<38>Nov 21 09:15:02 web01 sshd[42]: subsystem request for sftp by user tanaka",
    ),
    (
        "linux.auth",
        "console_login",
        "<38>Nov 21 09:15:02 web01 login[42]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
    ),
    (
        "linux.auth",
        "sudo_command",
        "<38>Nov 21 09:15:02 web01 pkexec[42]: tanaka: Executing command [USER=root] [TTY=/dev/pts/0] [CWD=/home/tanaka] [COMMAND=/usr/bin/id]",
    ),
    (
        "linux.auth",
        "polkit_authorized",
        "<38>Nov 21 09:15:02 web01 polkitd[42]: Operator of unix-session:2 successfully authenticated as unix-user:root to gain ONE-SHOT authorization for action org.freedesktop.systemd1.manage-units for system-bus-name::1.88 [systemctl stop auditd] (owned by unix-user:tanaka)",
    ),
    (
        "linux.auth",
        "account_locked",
        "<38>Nov 21 09:15:02 web01 sshd[42]: pam_faillock(sshd:auth): Consecutive login failures for user tanaka account temporarily locked",
    ),
    (
        "linux.auth",
        "authentication_failure",
        "<38>Nov 21 09:15:02 web01 sshd[42]: pam_sss(sshd:auth): received for user tanaka: 7 (Authentication failure)",
    ),
    (
        "linux.auth",
        "group_member_removed",
        "<38>Nov 21 09:15:02 web01 usermod[42]: delete 'tanaka' from group 'wheel'",
    ),
    (
        "linux.auth",
        "user_changed",
        "<38>Nov 21 09:15:02 web01 usermod[42]: change user 'tanaka' shell from '/bin/sh' to '/bin/bash'",
    ),
    (
        "linux.auth",
        "group_added",
        "<38>Nov 21 09:15:02 web01 groupadd[42]: group added to /etc/group: name=ops, GID=1005",
    ),
    (
        "linux.syslog",
        "service_failed",
        "<30>Nov 21 09:15:02 web01 systemd[1]: nginx.service: Failed with result 'exit-code'.",
    ),
    (
        "linux.syslog",
        "service_started",
        "<30>Nov 21 09:15:02 web01 systemd[1]: Started ssh.service - OpenBSD Secure Shell server.",
    ),
    (
        "linux.syslog",
        "crontab_opened",
        "<78>Nov 21 09:15:02 web01 crontab[42]: (tanaka) BEGIN EDIT (tanaka)",
    ),
    (
        "linux.syslog",
        "out_of_memory",
        "<4>Nov 21 09:15:02 web01 kernel: [ 1234.567890] Out of memory: Killed process 4321 (java) total-vm:8388608kB, anon-rss:4194304kB",
    ),
    (
        "linux.syslog",
        "usb_connected",
        "<6>Nov 21 09:15:02 web01 kernel: usb 1-1: New USB device found, idVendor=0781, idProduct=5567, bcdDevice= 1.00",
    ),
    (
        "linux.syslog",
        "promiscuous_mode_on",
        "<6>Nov 21 09:15:02 web01 kernel: device eth0 entered promiscuous mode",
    ),
    (
        "linux.syslog",
        "logging_stopped",
        "<46>Nov 21 09:15:02 web01 rsyslogd: [origin software=\"rsyslogd\" swVersion=\"8.2112.0\" x-pid=\"700\" x-info=\"https://www.rsyslog.com\"] exiting on signal 15.",
    ),
    (
        "linux.syslog",
        "address_blocked",
        "2026-11-21 09:15:02,417 fail2ban.actions        [700]: NOTICE  [sshd] Ban 192.0.2.66",
    ),
    (
        "linux.syslog",
        "package_installed",
        "2026-11-21 09:15:02 install nmap:amd64 <none> 7.93+dfsg1-1",
    ),
    (
        "network.dns",
        "dns_query",
        "<30>Nov 21 09:15:02 ns1 unbound: [812:0] info: 192.0.2.10 www.example.com. A IN",
    ),
    (
        "network.dns",
        "dns_query",
        "[1795252502] unbound[812:0] info: 192.0.2.10 www.example.com. TXT IN",
    ),
    (
        "network.dns",
        "dns_query",
        "Nov 21 09:15:02 dnsmasq[812]: query[A] www.example.com from 192.0.2.10",
    ),
    (
        "network.dns",
        "dns_answer",
        "<30>Nov 21 09:15:02 gw1 dnsmasq[812]: reply nowhere.example.com is NXDOMAIN",
    ),
    (
        "network.dns",
        "dns_query",
        "21-Nov-2026 09:15:02.417 queries: info: client @0x7f3c5c0a9f68 192.0.2.10#53211 (www.example.com): query: www.example.com IN AAAA +E(0)K (192.0.2.53)",
    ),
    (
        "network.dns",
        "zone_transfer",
        "<30>Nov 21 09:15:02 ns1 named[812]: client @0x7f3c5c0a9f68 192.0.2.66#53211 (example.com): zone transfer 'example.com/AXFR/IN' denied",
    ),
    (
        "network.dhcp",
        "dhcp_lease",
        "<30>Nov 21 09:15:02 gw1 dnsmasq-dhcp[812]: DHCPACK(eth1) 192.0.2.120 00:00:5e:00:53:1a pc-tanaka",
    ),
    (
        "network.dhcp",
        "dhcp_request",
        "<30>Nov 21 09:15:02 gw1 dhcpd[733]: DHCPREQUEST for 192.0.2.120 (192.0.2.1) from 00:00:5e:00:53:1a (pc-tanaka) via eth1",
    ),
    (
        "network.vpn",
        "vpn_connected",
        "<30>Nov 21 09:15:02 vpn1 charon: 12[IKE] IKE_SA office[3] established between 192.0.2.1[vpn.example.com]...198.51.100.7[tanaka@example.com]",
    ),
    (
        "network.vpn",
        "vpn_connection_attempt",
        "<6>Nov 21 09:15:02 vpn1 kernel: wireguard: wg0: Receiving handshake initiation from peer 5 (198.51.100.7:51820)",
    ),
    (
        "web.proxy",
        "proxy_request",
        "<30>Nov 21 09:15:02 px1 squid[99]: 1795252502.417    153 192.0.2.10 TCP_DENIED/403 3904 CONNECT bad.example:443 - HIER_NONE/- text/html",
    ),
    (
        "web.haproxy",
        "tcp_connection",
        "<134>Nov 21 09:15:02 lb1 haproxy[2011]: 192.0.2.10:33318 [21/Nov/2026:09:15:02.417] ft-db be-db/db1 0/0/5007 212 -- 0/0/0/0/3 0/0",
    ),
    (
        "web.haproxy",
        "server_down",
        "<129>Nov 21 09:15:02 lb1 haproxy[2011]: Server be-app/app1 is DOWN, reason: Layer4 timeout, check duration: 2001ms. 1 active and 0 backup servers left.",
    ),
    (
        "mail.smtp",
        "mail_rejected",
        "<22>Nov 21 09:15:02 mx1 postfix/smtpd[4121]: NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <x@example.org>: Relay access denied; from=<a@example.net> to=<x@example.org> proto=ESMTP helo=<spam>",
    ),
    (
        "mail.smtp",
        "smtp_login",
        "<22>Nov 21 09:15:02 mx1 postfix/submission/smtpd[4121]: warning: unknown[192.0.2.66]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
    ),
    (
        "mail.smtp",
        "mail_delivery",
        "<22>Nov 21 09:15:02 mx1 sendmail[4121]: 6AL9F2xx004121: to=<suzuki@example.net>, delay=00:00:02, xdelay=00:00:02, mailer=esmtp, pri=121337, relay=mx.example.net. [198.51.100.25], dsn=2.0.0, stat=Sent (OK)",
    ),
    (
        "mail.smtp",
        "mail_delivery",
        "2026-11-21 09:15:02 1rABcd-000Xyz-1A => suzuki@example.net R=dnslookup T=remote_smtp H=mx.example.net [198.51.100.25] C=\"250 OK\"",
    ),
    (
        "mail.imap",
        "mailbox_login",
        "<22>Nov 21 09:15:02 mx1 dovecot: imap-login: Disconnected (auth failed, 3 attempts in 12 secs): user=<tanaka>, method=PLAIN, rip=192.0.2.66, lip=192.0.2.25, TLS, session=<x>",
    ),
    (
        "file.samba",
        "file_renamed",
        "<173>Nov 21 09:15:02 fs1 smbd_audit[2231]: tanaka|192.0.2.10|pc-tanaka|sales|renameat|ok|/srv/sales/a.xlsx|/srv/sales/b.xlsx",
    ),
    (
        "file.samba",
        "file_opened",
        "<173>Nov 21 09:15:02 fs1 smbd_audit[2231]: tanaka|192.0.2.10|pc-tanaka|sales|openat|fail (Permission denied)|/srv/sales/secret.xlsx",
    ),
    (
        "file.ftp",
        "ftp_login",
        "<134>Nov 21 09:15:02 fs1 vsftpd[2231]: [tanaka] FAIL LOGIN: Client \"192.0.2.66\"",
    ),
    (
        "file.ftp",
        "file_downloaded",
        "<134>Nov 21 09:15:02 fs1 internal-sftp[2231]: close \"/home/tanaka/list.csv\" bytes read 4096 written 0",
    ),
    (
        "database.mysql",
        "db_login",
        "20261121 09:15:02,db1,root,192.0.2.66,43,0,FAILED_CONNECT,,,1045",
    ),
    (
        "database.mysql",
        "db_login",
        "2026-11-21T09:15:02.417286Z 43 [Note] [MY-010926] [Server] Access denied for user 'root'@'192.0.2.66' (using password: YES)",
    ),
    (
        "database.mysql",
        "db_statement",
        "2026-11-21T09:15:02.417286Z\t   43 Query\tDROP TABLE customers",
    ),
    (
        "database.postgresql",
        "db_login",
        "2026-11-21 09:15:02.417 UTC [2114] LOG:  connection authorized: user=app database=shop",
    ),
    (
        "database.postgresql",
        "db_statement",
        "2026-11-21 09:15:02.417 UTC [2114] app@shop LOG:  statement: DROP TABLE customers",
    ),
    (
        "container.log",
        "daemon_message",
        "<30>Nov 21 09:15:02 ct1 dockerd[800]: time=\"2026-11-21T09:15:02.417286125Z\" level=error msg=\"Handler for POST /v1.43/containers/create returned error\" spanID=1",
    ),
    (
        "container.log",
        "container_output",
        "{\"log\":\"ready to accept connections\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T09:15:02.417286125Z\"}",
    ),
    (
        "app.proxifier",
        "proxy_close",
        "[11.21 09:15:02] chrome.exe *64 - www.example.com:443 close, 451 bytes sent, 18846 bytes (18.4 KB) received, lifetime 00:12",
    ),
];

#[test]
fn messages_of_servers_are_understood() {
    let mut wrong = Vec::new();
    let mut page = String::new();
    for (dataset, action, line) in LINES {
        let read = describe(*line);
        let field = |name: &str| {
            read.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
        };
        let found = (read.dataset.as_str(), field("event.action"));
        if found != (*dataset, *action) {
            wrong.push(format!("{found:?} and not {dataset} {action}: {line}"));
        }
        let of_anything = read.sentence_en.contains(" says") && !dataset.starts_with("container.");
        if of_anything || !read.timestamp.to_string().starts_with("2026-11-2") {
            wrong.push(format!("{} {}: {line}", read.timestamp, read.sentence_en));
        }
        page.push_str(&format!("> {line}\n{}\n{}\n\n", read.sentence_ja, read.sentence_en));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_said("unix.txt", &page);
}
