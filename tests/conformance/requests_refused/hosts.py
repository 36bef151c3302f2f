"""Requests that do not say which host they are for, or say it in a way that servers differ on."""

from __future__ import annotations

from tests.conformance.case import About

_MANY = About("9112 3.2", "T10")
_VALUE = About("9112 3.2", "T10")
_STRICT = About("stricter: a name in DNS or an address is all that a service is called by", "T10")

CASES = (
    _MANY.host("none", b""),
    _MANY.host("none, but other fields", b"X: a\r\n"),
    _MANY.host("two that differ", b"Host: a\r\nHost: b\r\n"),
    _MANY.host("two alike", b"Host: a\r\nHost: a\r\n"),
    _MANY.host("two in different case", b"host: a\r\nX: b\r\nHOST: b\r\n"),
    _MANY.host("a second that is empty", b"Host: a\r\nHost:\r\n"),
    _VALUE.host("empty", b"Host:\r\n"),
    _VALUE.host("only blanks", b"Host: \t \r\n"),
    _VALUE.host("port above 65535", b"Host: a:65536\r\n"),
    _VALUE.host("port 0", b"Host: a:0\r\n"),
    _VALUE.host("a list", b"Host: a, b\r\n"),
    _VALUE.host("a comma", b"Host: a,b\r\n"),
    _VALUE.host("user", b"Host: u@a\r\n"),
    _VALUE.host("user and password", b"Host: u:p@a\r\n"),
    _VALUE.host("a whole address", b"Host: http://a/\r\n"),
    _VALUE.host("slash", b"Host: a/b\r\n"),
    _VALUE.host("space", b"Host: a b\r\n"),
    _VALUE.host("tab", b"Host: a\tb\r\n"),
    _VALUE.host("question mark", b"Host: a?b\r\n"),
    _VALUE.host("hash", b"Host: a#b\r\n"),
    _VALUE.host("backslash", b"Host: a\\b\r\n"),
    _VALUE.host("quotes", b'Host: "a"\r\n'),
    _VALUE.host("angle brackets", b"Host: <a>\r\n"),
    _VALUE.host("high byte", b"Host: \xe4\r\n"),
    _VALUE.host("port of letters", b"Host: a:b\r\n"),
    _VALUE.host("port with a sign", b"Host: a:+80\r\n"),
    _VALUE.host("port in hexadecimal", b"Host: a:0x50\r\n"),
    _VALUE.host("two ports", b"Host: a:80:80\r\n"),
    _VALUE.host("port alone", b"Host: :80\r\n"),
    _VALUE.host("open bracket", b"Host: [::1\r\n"),
    _VALUE.host("text after a bracket", b"Host: [::1]a\r\n"),
    _VALUE.host("letters in brackets", b"Host: [xyz]\r\n"),
    _VALUE.host("empty brackets", b"Host: []\r\n"),
    _VALUE.host("address of IPv6 without brackets", b"Host: ::1\r\n"),
    _VALUE.host("zone of IPv6", b"Host: [fe80::1%25eth0]\r\n"),
    _STRICT.host("port of six digits", b"Host: a:000080\r\n"),
    _STRICT.host("port without digits", b"Host: a:\r\n"),
    _STRICT.host("escape", b"Host: %61\r\n"),
    _STRICT.host("escaped NUL", b"Host: a%00b\r\n"),
    _STRICT.host("semicolon", b"Host: a;b\r\n"),
    _STRICT.host("asterisk", b"Host: *\r\n"),
)
