"""How pip is set on a machine, as a build sees it."""

import re

from images.lending import Lent, lent


def test_what_pip_names_on_disk_is_moved_to_where_a_build_sees_it():
    listing = """
global.cert='/etc/ssl/one.crt'
global.extra-index-url='file:///mirror/simple https://index.example/simple'
global.find-links='/wheels'
"""
    found = lent(listing)
    there = dict(found.mounts)
    assert list(there) == ["/etc/ssl/one.crt", "/mirror", "/wheels"]  # not /mirror/simple: its pages link to files beside it
    assert found.configuration.splitlines() == [
        "[global]",
        f"cert = {there['/etc/ssl/one.crt']}",
        f"extra-index-url = file://{there['/mirror']}/simple https://index.example/simple",
        f"find-links = {there['/wheels']}",
    ]


def test_a_place_in_a_build_depends_on_nothing_else_and_tells_no_name():
    alone = dict(lent("global.find-links='/wheels'").mounts)["/wheels"]
    assert re.fullmatch(r"/run/build/[0-9a-f]{8}", alone)
    assert dict(lent("global.cert='/a'\nglobal.find-links='/b /wheels'").mounts)["/wheels"] == alone


def test_a_setting_of_the_environment_wins_over_those_of_files():
    found = lent(
        ":env:.index-url='https://b.example'\ninstall.index-url='https://c.example'\nglobal.index-url='https://a.example'\n"
    )
    assert found.configuration == "[global]\nindex-url = https://b.example\n"


def test_a_folder_that_is_named_twice_is_lent_once():
    found = lent("global.find-links='/wheels'\n:env:.find-links='/wheels file:///wheels'\n")
    ((folder, there),) = found.mounts
    assert folder == "/wheels"
    assert found.configuration.endswith(f"find-links = {there} file://{there}\n")


def test_settings_that_are_about_this_machine_only_stay_here():
    assert lent("global.user='true'\nglobal.cache-dir='/cache'\nfreeze.timeout='10'\n") == Lent()
