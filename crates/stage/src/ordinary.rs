//! An ordinary hour of thirty people: what the intrusion hides in.

use crate::dice::Dice;
use crate::hospital::{STAFF, address, workstation};
use crate::timeline::{Message, Timeline, syslog};
use crate::windows::{SECURITY, SYSMON, event, logon, process, share_access};

const HOUR_MS: u64 = 60 * 60 * 1000;
const EXPLORER: &str = "C:\\Windows\\explorer.exe";

const PROGRAMS: [(&str, &str); 5] = [
    (
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        "chrome.exe --restore-last-session",
    ),
    ("C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE", "OUTLOOK.EXE /recycle"),
    (
        "C:\\Program Files\\Microsoft Office\\root\\Office16\\EXCEL.EXE",
        "EXCEL.EXE \"U:\\勤務表.xlsx\"",
    ),
    ("C:\\Program Files\\KarteView\\karte.exe", "karte.exe --ward 3"),
    ("C:\\Windows\\System32\\notepad.exe", "notepad.exe U:\\memo.txt"),
];

const PAGES: [&str; 6] =
    ["/", "/karte/list", "/karte/view?id=20418", "/schedule", "/static/app.css", "/notice/2026-11"];

const FILES: [&str; 5] = [
    "第3病棟\\申し送り.docx",
    "共有\\勤務表.xlsx",
    "検査\\結果一覧.csv",
    "栄養\\献立.xlsx",
    "総務\\連絡網.pdf",
];

const NAMES: [&str; 4] =
    ["www.mhlw.go.jp", "outlook.office365.com", "update.karteview.example", "www.jma.go.jp"];

/// Adds the ordinary hour to `timeline`.
pub fn play(timeline: &mut Timeline, dice: &mut Dice) {
    for (index, user) in STAFF.iter().enumerate() {
        desk_work(timeline, dice, index, user);
    }
    for user in ["mori", "abe", "ikeda", "goto"] {
        vpn_from_home(timeline, dice, user);
    }
    servers(timeline, dice);
}

fn desk_work(timeline: &mut Timeline, dice: &mut Dice, index: usize, user: &str) {
    let (computer, ip) = (workstation(index), address(index));
    let start = dice.between(0, 10 * 60 * 1000);
    let at = timeline.at(start);
    timeline.add(at, Message::Bulk(logon(at, &computer, user, "2", "127.0.0.1")));
    let at = timeline.at(start + 900);
    timeline.add(at, Message::Bulk(logon(at, "FS01", user, "3", &ip)));
    for _ in 0..dice.between(10, 20) {
        let at = timeline.at(dice.between(start, HOUR_MS));
        let (image, command_line) = PROGRAMS[dice.between(0, PROGRAMS.len() as u64) as usize];
        timeline
            .add(at, Message::Bulk(process(at, &computer, user, image, command_line, EXPLORER)));
    }
    for _ in 0..dice.between(15, 30) {
        let at = timeline.at(dice.between(start, HOUR_MS));
        let mask = if dice.once_in(4) { "0x2" } else { "0x1" };
        let file = dice.pick(&FILES);
        let access = share_access(at, "FS01", user, &ip, "\\\\*\\共有", file, mask);
        timeline.add(at, Message::Bulk(access));
    }
    for _ in 0..dice.between(5, 12) {
        let at = timeline.at(dice.between(start, HOUR_MS));
        let query = event(
            at,
            &computer,
            SYSMON,
            22,
            &[("Image", PROGRAMS[0].0), ("QueryName", dice.pick(&NAMES)), ("QueryStatus", "0")],
        );
        timeline.add(at, Message::Bulk(query));
    }
    for _ in 0..dice.between(20, 40) {
        let at = timeline.at(dice.between(start, HOUR_MS));
        let page = dice.pick(&PAGES);
        let line = format!(
            "{ip} - {user} [{}] \"GET {page} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0\"",
            at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            dice.between(400, 90_000),
        );
        timeline.add(at, Message::SyslogTcp(syslog(at, 190, "web01", "nginx", &line)));
    }
    if dice.once_in(8) {
        let at = timeline.at(start.saturating_sub(4_000));
        let mistyped = event(
            at,
            &computer,
            SECURITY,
            4625,
            &[
                ("TargetUserName", user),
                ("TargetDomainName", "HOSPITAL"),
                ("Status", "0xc000006d"),
                ("SubStatus", "0xc000006a"),
                ("LogonType", "2"),
                ("IpAddress", "127.0.0.1"),
                ("WorkstationName", &computer),
            ],
        );
        timeline.add(at, Message::Bulk(mistyped));
    }
}

fn vpn_from_home(timeline: &mut Timeline, dice: &mut Dice, user: &str) {
    let at = timeline.at(dice.between(0, HOUR_MS / 2));
    let text = format!(
        "logid=\"0101039424\" type=\"event\" subtype=\"vpn\" level=\"information\" \
         action=\"tunnel-up\" user=\"{user}\" remip=198.51.100.{} msg=\"SSL tunnel established\"",
        dice.between(10, 200)
    );
    timeline.add(at, Message::SyslogUdp(syslog(at, 189, "vpn01", "fortigate", &text)));
}

fn servers(timeline: &mut Timeline, dice: &mut Dice) {
    for minute in (0..60).step_by(5) {
        let at = timeline.at(minute * 60_000 + dice.between(0, 900));
        let text = "(root) CMD (/usr/local/bin/backup-check)";
        timeline.add(at, Message::SyslogUdp(syslog(at, 78, "bk01", "CRON", text)));
    }
    for minute in [7, 26, 48] {
        let at = timeline.at(minute * 60_000);
        let text =
            "Accepted publickey for itadmin from 10.1.2.250 port 51122 ssh2: ED25519 SHA256:Zk3";
        timeline.add(at, Message::SyslogTcp(syslog(at, 86, "web01", "sshd", text)));
        let at = timeline.at(minute * 60_000 + 8_000);
        let text = "itadmin : TTY=pts/0 ; PWD=/home/itadmin ; USER=root ; COMMAND=/usr/bin/systemctl status nginx";
        timeline.add(at, Message::SyslogTcp(syslog(at, 85, "web01", "sudo", text)));
    }
}
