"""Which tests cover each row of the network's faults: the list behind docs/network-faults.md.

    python tests/tools/network_rows.py      print the document's tables

A test is named MODULE.function or MODULE.Class.method, of tests/shared or tests/host. The cases of
network_faults.py are found by their rows and not named here. tests/host/test_network_rows.py
checks all of it.
"""

import sys
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import folders

    folders.add()

import network_faults  # noqa: E402

ROW = "test_network_faults.test_row"
TLS = "test_network_faults.test_tls"
MEMORY = "test_network_faults.test_memory_that_runs_out_leaves_all_as_it_was"


class Row(NamedTuple):
    """fault: what happens; answer: what the device does; words: of ota.errors that may come of
    it; tests: beside those of network_faults."""

    fault: str
    answer: str
    words: str = ""
    tests: tuple = ()


_G = "test_http_server.test_good_answers"
_B = "test_http_server.test_bad_answers"
_C = "test_http_server.test_broken_connections"
_D = "test_http_server.test_drops_are_resumed"
_R = "test_http_server.test_redirects"
_T = "test_http_server.test_tls"
_HTTP = "test_http.TestHttp.test_"
_NGINX = "test_nginx.test_"
_ANSWERS = _NGINX + "answers_of_nginx"
_CUT = _NGINX + "a_line_that_is_cut"
_WRONG = _NGINX + "files_that_are_wrong"
_CHANGE = _NGINX + "files_that_change_and_lines_that_fall_silent"
_RANGES = _NGINX + "ranges_that_nginx_takes_or_refuses"
_SAYS = _NGINX + "what_nginx_says_of_connections_is_believed"
_KEPT = "test_kept.TestKept.test_"
_RES = "test_resume.TestResume.test_"
_HEAD = "test_head.TestHead.test_"
_BODY = "test_head.TestBody.test_"
_PARSE = "test_manifest.TestParse.test_"
_URL = "test_url.TestUrl.test_"
_REFUSED = "test_refusals.TestRefusals.test_"
_DECIDE = "test_manifest.TestDecide.test_"

ROWS = {
    1: Row("connection refused", "retries; ends after the last one", "connect", (
        _C, _RES + "failures_to_connect_are_tried_again", _RES + "pauses_double_and_have_an_end",
        _RES + "the_whole_has_a_limit_of_time")),
    2: Row("no answer to a connection", "retries within its limit", "connect"),
    3: Row("name does not exist", "two retries", "dns", (
        _C, _RES + "a_name_that_does_not_exist_is_given_up_early")),
    4: Row("name service fails for a while", "retries", "dns", (
        _RES + "failures_to_connect_are_tried_again",)),
    5: Row("first of several addresses is dead", "uses the next one, of at most four",
           "connect", (_G,)),
    6: Row("name leads elsewhere on a retry", "accepted; the file must be the same", "changed"),
    7: Row("reset before any reply", "retries", "reset", (
        _C, "test_http_server.test_resets_before_the_request", _CUT)),
    8: Row("reset inside the header", "retries", "reset", (
        _C, _RES + "a_drop_before_the_body_is_tried_again",
        _HEAD + "an_end_inside_the_head_is_a_reset", _CUT)),
    9: Row("reset at every byte of a body", "resumes; at most one buffer is downloaded again",
           "reset short retries", (
        _D, _RES + "a_drop_is_resumed_where_it_was",
        "test_network_cut.TestNetworkCut.test_resets_at_bytes_of_a_package",
        "test_prove.test_a_sample_of_everything", _CUT)),
    10: Row("closed before the announced length", "resumes with Range", "short reset retries", (
        _C, _D, _RES + "an_early_close_of_an_expected_size_is_resumed", _CUT)),
    11: Row("half-closed after the header", "retries", "short", (_C,)),
    12: Row("silence", "idle limit, then retries", "timeout retries", (
        _C, _D, "test_head.TestPace.test_silence_is_a_timeout", _CHANGE)),
    13: Row("drip below the minimum rate", "ends", "slow", (
        _C, "test_head.TestPace.test_a_slow_drip_is_refused",
        _RES + "a_slow_server_is_left", _ANSWERS)),
    14: Row("drip above the minimum rate", "accepted", "", (
        _G, "test_head.TestPace.test_a_slow_drip_above_the_minimum_is_taken")),
    15: Row("length below the manifest's size", "rejected, nothing is written", "length", (
        _RES + "another_size_than_expected_is_refused", _WRONG)),
    16: Row("length above the manifest's size", "rejected, nothing is written", "length", (
        _RES + "another_size_than_expected_is_refused", _WRONG)),
    17: Row("bytes after the length", "not read", "", (
        _G, _BODY + "a_length_ends_the_body")),
    18: Row("no length, ended by the close", "accepted; the hash chain decides", "", (
        _G, _BODY + "without_a_length_the_close_ends_it")),
    19: Row("no length and no end", "not read beyond the manifest's size", "length chain chunk", (
        _D, _RES + "another_size_than_expected_is_refused")),
    20: Row("length that is not a number below 2^31", "rejected", "protocol", (
        _B, _HEAD + "lengths_are_plain_numbers")),
    21: Row("two lengths, empty, with plus or zeros",
            "equal ones count once, an empty one is ignored; others are rejected", "protocol", (
        _G, _B, _HEAD + "a_field_may_come_twice_only_with_the_same_value")),
    22: Row("chunks and a length", "rejected", "protocol", (
        _B, _HEAD + "only_chunked_is_a_coding")),
    23: Row("chunks of one byte, across reads, any case", "accepted", "", (
        _G, _BODY + "chunks_are_joined", _ANSWERS)),
    24: Row("chunk extensions, trailers",
            "skipped, within limits, whatever their length", "headers", (
        _G, _B, _BODY + "chunks_are_joined", _BODY + "endless_trailers_are_refused")),
    25: Row("malformed chunks", "rejected", "protocol", (
        _B, _BODY + "bad_chunks_are_refused")),
    26: Row("no last chunk, or nothing after it",
            "treated as a short body; an end after the last chunk is accepted", "short retries", (
        _C, _D, _BODY + "chunks_are_joined", _BODY + "a_missing_last_chunk_is_short")),
    27: Row("unknown transfer coding", "rejected", "protocol", (
        _B, _HEAD + "only_chunked_is_a_coding")),
    28: Row("content encoding that was not requested",
            ("rejected; labels that change no byte (identity, none, binary, utf-8, aws-chunked "
        "...) are ignored"), "encoding", (
        _B, _HTTP + "an_encoded_body_is_refused")),
    29: Row("200 to a Range request", "reads past what is there; the chain compares", "", (
        _D, _G, _RES + "a_server_without_ranges_is_read_over",
        _RES + "a_drop_while_reading_over_is_survived", _CHANGE)),
    30: Row("206 of another range, malformed or multipart; 200 with a range",
            "none of it is written; the whole file is requested, once",
            "range changed", (
        _B, _HEAD + "content_range", _HTTP + "a_part_that_was_not_asked_for_is_refused",
        _HTTP + "a_part_with_another_status_is_told_by_its_field",
        _RES + "a_server_that_bends_a_range_gives_the_file")),
    31: Row("206 that ends early", "accepted, continues after it", "", (
        _D, _RES + "parts_are_put_together_without_pause",
        _NGINX + "one_connection_brings_manifest_and_package")),
    32: Row("file changed during the download",
            "manifest and package are requested again, once; then it ends", "changed", (
        _B, _D, _RES + "another_file_is_noticed", _HTTP + "a_part_of_another_file_is_refused",
        _CHANGE)),
    33: Row("weak entity tag, or two", "not sent back; the chain decides", "chain chunk", (
        _G, _RES + "without_a_strong_tag_the_range_goes_without",
        _HEAD + "only_strong_and_harmless_entity_tags_count",
        _HEAD + "malformed_fields_that_do_not_matter_are_passed_over", _RANGES)),
    34: Row("416 when everything is there", "treated as the end; what is there is verified", "", (
        _G, _HTTP + "416_with_everything_there_is_an_empty_rest",
        _RES + "416_at_the_end_is_the_end")),
    35: Row("416 otherwise", "once from the beginning, then it ends", "range status", (
        _B, _RES + "416_is_got_around_once", _HTTP + "416_otherwise_is_an_error", _RANGES)),
    36: Row("204, 205, 304", "rejected", "status", (
        _B, _HTTP + "other_statuses_are_errors", _ANSWERS)),
    37: Row("301, 302, 303, 307, 308",
            ("followed up to five times, with the Range, to addresses of 2 KB; spaces and bytes "
        "beyond ASCII are quoted"), "", (
        _R, _HTTP + "redirects_to_signed_addresses_are_followed",
        _HTTP + "a_location_as_people_write_them", _HEAD + "a_location_may_have_2_kb",
        _HTTP + "redirects_are_followed_with_their_range", _ANSWERS)),
    38: Row("redirects in a circle, or six of them", "ends", "redirect", (
        _R, _HTTP + "redirects_have_an_end", _ANSWERS)),
    39: Row("https redirects to http", "rejected", "downgrade", (
        _T, _HTTP + "https_does_not_become_http", _ANSWERS)),
    40: Row("http redirects to https", "followed", "", (_T, _ANSWERS)),
    41: Row("redirect to another server, or another address than that of url",
            "followed; header fields meant for one server are not sent to another", "", (
        _R, _HTTP + "a_redirect_may_leave_the_host_but_secrets_do_not",
        _HTTP + "another_port_is_another_place", _HTTP + "fields_belong_to_their_home",
        _NGINX + "a_token_stays_with_its_server",
        "test_headers_home.test_the_server_of_url_alone_gets_them",
        "test_headers_home.test_a_server_that_is_named_with_them")),
    42: Row("redirect to nowhere, to an invalid or unusual URL", "rejected",
            "redirect url protocol", (
        _R, _HTTP + "bad_redirects_are_refused", _URL + "parse_refuses_everything_else",
        _ANSWERS)),
    43: Row("401, 403, 404, 410", "ends at once; 403 and 404 are tried once more", "status", (
        _B, _D, _RES + "some_refusals_pass", _HTTP + "other_statuses_are_errors", _ANSWERS)),
    44: Row("408, 429, 503 with Retry-After",
            ("waits that long, seconds or a date, up to a minute (wait_ms), then retries; beyond "
        "that, or five minutes in total, reports the time"), "later", (
        _RES + "what_a_server_may_ask_to_wait",
        "test_aio.TestTask.test_watch_comes_back_when_a_server_wants_it",
        _B, _D, _RES + "a_server_that_asks_for_patience_gets_it",
        _HEAD + "retry_after_is_seconds_and_at_most_an_hour",
        _HEAD + "retry_after_may_be_a_date_of_the_server_s_clock", _ANSWERS)),
    45: Row("421, 425, 500, 502, 503, 504, 520 to 530", "retries, with growing pauses", "status", (
        _B, _D, _RES + "some_refusals_pass", _RES + "a_server_that_asks_for_patience_gets_it")),
    46: Row("1xx before the answer", "up to eight are skipped", "protocol", (
        _G, _B, _HEAD + "interim_responses_are_skipped_up_to_eight")),
    47: Row("101", "rejected", "status", (
        _B, _HEAD + "switching_protocols_is_refused")),
    48: Row("unusual status lines",
            ("accepted: HTTP/1.x in any case, with or without reason, blank lines before, 203; "
        "others are rejected"),
            "protocol reset", (
        _G, _B, _HEAD + "status_lines_of_http_1_are_taken",
        _HEAD + "other_status_lines_are_refused")),
    49: Row("bare LF, folded fields, no colon, space before the colon, NUL",
            ("LF is accepted, and irrelevant fields are skipped; rejected in a field that says "
        "which bytes the body is, NUL and a lone CR everywhere"), "protocol", (
        _G, _B, _HEAD + "bad_fields_are_refused",
        _HEAD + "malformed_fields_that_do_not_matter_are_passed_over",
        _HEAD + "fields_are_read_whatever_their_case_ends_and_pieces")),
    50: Row("header too large or endless",
            ("long irrelevant lines are skipped; beyond 32 KB or 256 lines rejected, in one buffer"
        " of fixed size"), "headers", (
        _B, _HEAD + "too_much_is_refused", _HEAD + "endless_headers_end",
        _HEAD + "just_enough_is_taken",
        _HEAD + "long_lines_that_do_not_matter_are_passed_over")),
    51: Row("CR or LF in URL, field or entity tag", "rejected before anything is sent",
            "url headers", (
        _HTTP + "nothing_can_be_smuggled_into_a_request",)),
    52: Row("kept connection closed by the peer",
            "request repeated at once on a new one; not a failure", "", (
        _KEPT + "a_peer_that_went_is_no_failure", _KEPT + "giving_up_on_it_closes_it", _SAYS)),
    53: Row("stale bytes on a kept connection",
            "it is closed, and the request repeated on a new one", "", (
        _KEPT + "more_than_was_asked_for_ends_it", _KEPT + "a_peer_that_went_is_no_failure")),
    54: Row("Connection: close; Keep-Alive: max=1",
            "obeyed; a server that falls silent instead is left after the idle limit", "", (
        _KEPT + "who_says_close_is_believed", _SAYS)),
    55: Row("TLS that cannot be trusted: CA, dates, name, chain, version, no TLS at all",
            "rejected, nothing is sent; no fallback to plain text", "tls timeout reset connect", (
        _T, "test_http_server.test_bad_certificates", "test_http_server.test_bad_handshakes",
        "test_http_server.test_pins", "test_pins.TestPins.test_who_may_pass", _ANSWERS)),
    56: Row("clock not set, or far off", (
        "a time server is asked, if there is one, and its answer is bounded from both sides; "
        "else the clock starts from the build of the firmware or the newest manifest; "
        "certificates that are not valid then are rejected"), "tls", (
        "test_http_server.test_bad_certificates",
        "test_clock_bound.test_the_next_request_goes_by_the_month_of_the_last_manifest",
        "test_clock.TestClock.test_one_that_is_not_asks",
        "test_clock.TestClock.test_a_wrong_answer_heals",
        "test_clock.TestClock.test_an_absurd_clock_heals_without_a_server",
        "test_clock.TestClock.test_answers_that_are_none",
        "test_clock.TestBound.test_the_clock_is_set_to_it",
        "test_clock.TestBound.test_ports_whose_clock_cannot_be_set")),
    57: Row("TLS ends without close_notify", "accepted if the length is there, else short",
            "short retries", (_T, _CUT)),
    58: Row("broken TLS record", "retries", "reset retries", (_T,)),
    59: Row("captive portal", "rejected, nothing is written", "manifest length header", (
        "test_update.TestAsk.test_manifest_that_is_none_of_ours",
        _PARSE + "no_manifest_at_all", _WRONG)),
    60: Row("empty body", "rejected", "manifest length short", (_G, _WRONG)),
    61: Row("manifest cut at every byte", "rejected, nothing is written",
            "manifest key signature", (_PARSE + "every_truncation_is_refused",)),
    62: Row("malformed manifest",
            "rejected; unknown members are ignored; a duplicate counts once",
            "manifest field format", (
        _PARSE + "signed_but_no_json_object", _PARSE + "each_member_missing_or_wrong",
        _PARSE + "huge_numbers", _PARSE + "duplicate_member_counts_once",
        _PARSE + "unknown_members_are_ignored")),
    63: Row("endless manifest", "not read beyond 8 KB", "size", (
        _PARSE + "size_limit", _WRONG)),
    64: Row("manifest not signed by one of our keys", "rejected", "manifest key signature", (
        "test_manifest.TestSignatures.test_not_signed_or_by_others",
        "test_manifest.TestSignatures.test_bad_signatures",
        _PARSE + "every_flipped_bit_is_refused", _WRONG)),
    65: Row("older manifest again", "rejected, the counter stays", "sequence", (
        _DECIDE + "manifest_older_than_the_one_before",
        "test_update.TestAsk.test_asks_decides_and_installs")),
    66: Row("version that already runs", "nothing to do, nothing is written", "", (
        "test_update.TestAsk.test_asks_decides_and_installs", _DECIDE + "situations")),
    67: Row("expired manifest", "rejected if the clock is set; else the sequence decides",
            "expired", (_DECIDE + "expired",)),
    68: Row("version out of bounds", "rejected", "field", (
        "test_package.TestVersion.test_forms", _PARSE + "each_member_missing_or_wrong")),
    69: Row("package of another release or for another base", "rejected, nothing is written",
            "digest length base", (
        _REFUSED + "manifest_and_package_must_belong_together", _DECIDE + "situations")),
    70: Row("for another product, component or slot", "rejected, nothing is written",
            "product target", (
        _REFUSED + "package_for_somebody_else", _DECIDE + "another_product")),
    71: Row("below the floor", "skipped, or rejected", "floor", (
        _DECIDE + "situations",)),
    72: Row("package with flipped bits, swapped or added bytes",
            "rejected; only valid chunks were written",
            "header signature chain chunk digest length", (
        "test_package.TestChunks.test_every_flipped_bit_is_refused_before_it_is_inflated",
        "test_package.TestChunks.test_chunks_in_another_order", _WRONG)),
    73: Row("broken patch with a valid signature",
            "rejected within its bounds, the old image stays",
            "patch inflate chunk size", (
        "test_package.TestWild.test_patch_out_of_bounds",
        "test_delta.TestPatch.test_copy_outside_the_base",
        "test_fuzz_corpus.TestCorpus.test_streams")),
    74: Row("server's Date decades off", "no decision depends on it"),
    75: Row("server faster than the flash", "reads when there is room; memory stays as promised",
            "", (
        "test_head.TestPace.test_a_busy_reader_is_not_late",
        "test_http_server.test_memory_stays_small",
        "test_memory.test_promised_heap_is_enough")),
    76: Row("network away, another address afterwards", "retries until it is back", "", (
        _RES + "failures_to_connect_are_tried_again",)),
    77: Row("proxies: 407, changed length", "rejected", "status length", (_B, _ANSWERS)),
    78: Row("stopped at any point, out of memory, no room",
            "sockets are closed, what is there stays; lack of room is detected before", "fit", (
        MEMORY, "test_update.TestAsk.test_stopping_anywhere_leaves_the_running_image",
        "test_resume.TestResume.test_closing_ends_everything",
        "test_ask.Ask.test_a_stopped_update_closes_its_connection",
        _REFUSED + "package_for_somebody_else",
        _REFUSED + "package_larger_than_the_ota_partition")),
    79: Row("power cuts with rows 9, 10, 29, 32", "resumes; the image is exact", "", (
        "test_network_cut.TestNetworkCut.test_power_cuts_while_the_network_fails",
        "test_prove.test_a_sample_of_everything",
        "test_prove.test_codes_of_every_kind_replay")),
    80: Row("mirrors, one of them wrong", "the next is asked; what is in flash stays",
            "connect status manifest key signature chain chunk length retries", (
        "test_mirrors.TestRun.test_a_mirror_that_is_away_lies_or_is_behind",
        "test_mirrors.TestRun.test_what_lies_in_flash_is_not_fetched_again", _WRONG)),
    81: Row("IPv6, literal addresses, port, dot after the name, user info in a URL",
            "used as they are; user info is rejected", "url", (
        "test_http_server.test_ipv6_address", _URL + "parse_takes_good_addresses_apart",
        _URL + "parse_refuses_everything_else", _ANSWERS)),
    82: Row("answer to another request",
            ("not read beyond the one requested; if the size differs, requested again on a new "
        "connection"),
    "length short", (_KEPT + "more_than_was_asked_for_ends_it",)),
    83: Row(("Range rejected: 304, 400, 403, 405, 412, 416, 501, 502 ..., "
        "a connection that breaks"),
            ("the whole file is requested: at once, or in turns if it may be an outage, and at the"
        " latest before it ends"), "status retries", (
        _RES + "a_server_that_refuses_a_range_gives_the_file",
        _RES + "at_a_later_start_a_refused_range_is_got_around_too",
        _RES + "an_outage_does_not_end_ranges", _RES + "parts_that_a_server_refuses")),
    84: Row(("few bytes with much around them: one per request, interim answers, long headers, "
        "chunks of one byte"), (
        "two minutes of waiting for less than the minimum rate, over all connections, count "
        "as slow"), "slow", (
        _RES + "a_drip_over_many_requests_is_slow", _RES + "much_around_few_bytes_is_slow")),
    85: Row("signed address that expires",
            "the first address is requested again, and leads to a new one",
            "status", (
        _RES + "a_signed_address_that_ends_is_asked_for_anew",)),
}  # fmt: skip

_BOTH = "CPython, MicroPython"
# Where the tests of a file run, and what they check beside the error's word.
PLACES = {
    "test_network_faults": (
        _BOTH,
        "code, bytes written, erases, sockets, memory, time, next update",
    ),
    "test_http_server": (_BOTH, "bytes received, sockets"),
    "test_clock_bound": (_BOTH, "the value the clock was set to"),
    "test_nginx": (
        _BOTH,
        "as `test_network_faults`; requests and connections of a real nginx over TLS",
    ),
    "test_prove": (_BOTH, "image, erases, next boots"),
    "test_memory": ("MicroPython", "heap"),
    "test_headers_home": ("CPython", "which server got the fields"),
    "shared": (_BOTH + ", 32-bit MicroPython", "what the test's name says"),
}
# Tests that run on one interpreter only, and why.
ONLY = {
    MEMORY: "MicroPython: only its heap can be given a size",
    "test_memory.test_promised_heap_is_enough": "MicroPython: CPython has no heap of fixed size",
}


def tests(row):
    """The tests of a row, those of network_faults first."""
    out = []
    if row in _WHOLE:
        out.append(f"{ROW}[{row}]")
    out += [f"{TLS}[{row}-{kind}]" for r, kind in network_faults.TLS if r == row]
    return [*out, *ROWS[row].tests]


_WHOLE = {fault.row for fault in network_faults.faults() if fault.row}


def table():
    """The rows as lines of Markdown."""
    lines = ["| # | fault | what the device does | error | tests |", "| --- " * 5 + "|"]
    for number, row in ROWS.items():
        where = "<br>".join(f"`{name}`" for name in _short(tests(number)))
        words = ", ".join(row.words.split()) or "–"
        lines.append(f"| {number} | {row.fault} | {row.answer} | {words} | {where} |")
    return lines


def places():
    """Where tests run and what they check, as lines of Markdown."""
    lines = ["| tests | run on | check beside the error's word |", "| --- " * 3 + "|"]
    for name, (where, what) in PLACES.items():
        name = "those of `tests/shared`" if name == "shared" else f"`{name}`"
        lines.append(f"| {name} | {where} | {what} |")
    return [*lines, *(f"| `{name}` | {why} | |" for name, why in ONLY.items())]


def _short(names):
    # One line for all servers of a row about TLS.
    short = [n.partition("-")[0] + "-*]" if n.startswith(TLS) else n for n in names]
    return list(dict.fromkeys(short))


if __name__ == "__main__":
    print("\n".join([*table(), "", *places()]))
