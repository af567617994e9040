"""Which alert a breach belongs to, and when an alert resolves.

    inactive ── a breach that no alert covers ──► active ── the watermark passes the end ──► inactive

An alert covers every breach less than `cooldown` from its opening, before or after, and every breach less than a window's length
from another that it covers. So a late match joins the alert that its neighbours raised, a breach further off raises its own, and
two alerts of a series open at least `cooldown` apart in any order of arrival.
"""

from msgspec.structs import replace

from alerts.rule import Rule
from alerts.series import LATENESS_US, Episode, SeriesState, span_us
from core.ids import content_id

MAX_EPISODES = 64


def admit(rule: Rule, state: SeriesState, end_us: int, span: int) -> tuple[SeriesState, Episode | None]:
    """The state after a breach at `end_us`, and the alert that it opens; None where one covers it."""
    cooldown = span_us(rule.cooldown)
    for at, episode in enumerate(state.episodes):
        if _covers(episode, end_us, span, cooldown):
            return _put(state, at, _extended(episode, end_us)), None
    alert_id = alert_id_for(rule, state.group, end_us)
    opened = Episode(alert_id, opened_us=end_us, first_us=end_us, last_us=end_us)
    return replace(state, episodes=(*state.episodes, opened)), opened


def alert_id_for(rule: Rule, group: dict[str, str], opened_us: int) -> str:
    """The same id for any opening within one `cooldown` slot of the calendar.

    Alerts of a series open at least `cooldown` apart, so none share a slot; and a replay that meets the matches in another
    order finds, but for the slots' edges, the ids it gave before.
    """
    slot = opened_us // span_us(rule.cooldown)
    keys = [part for pair in sorted(group.items()) for part in pair]
    return content_id("alert", rule.name, *keys, str(slot))


def resolves_at(rule: Rule, episode: Episode, span: int) -> int:
    """The event time at which the alert ends if no further breach comes: a window after its last, or with the cooldown."""
    return episode.last_us + span if span else episode.opened_us + span_us(rule.cooldown)


def resolve_due(rule: Rule, state: SeriesState, watermark_us: int, span: int) -> tuple[SeriesState, tuple[Episode, ...]]:
    """The state with the alerts resolved that end at or before the watermark, and those alerts."""
    due = tuple(e for e in state.episodes if e.active and resolves_at(rule, e, span) <= watermark_us)
    closed = tuple(replace(e, active=False) if e in due else e for e in state.episodes)
    return replace(state, episodes=closed), due


def release_held(rule: Rule, state: SeriesState, watermark_us: int) -> tuple[SeriesState, tuple[int, ...]]:
    """The state without held breaches whose cooldown the watermark has passed, and the times at which to judge again."""
    cooldown = span_us(rule.cooldown)
    due = tuple(e for e in state.episodes if e.held and e.opened_us + cooldown <= watermark_us)
    freed = tuple(replace(e, held=False) if e in due else e for e in state.episodes)
    return replace(state, episodes=freed), tuple(e.opened_us + cooldown for e in due)


def forget_episodes(rule: Rule, state: SeriesState, watermark_us: int, span: int) -> SeriesState:
    """The state without alerts that cannot cover a match up to an hour, or a window, late."""
    cooldown = span_us(rule.cooldown)
    horizon = watermark_us - max(span, LATENESS_US) - span

    def needed(episode: Episode) -> bool:
        return episode.active or episode.held or max(episode.opened_us + cooldown, episode.last_us + span) > horizon

    return replace(state, episodes=tuple(filter(needed, state.episodes)))


def overflow(state: SeriesState) -> tuple[SeriesState, tuple[Episode, ...]]:
    """The state with at most 64 alerts, and those dropped that were still active: the caller resolves them."""
    if len(state.episodes) <= MAX_EPISODES:
        return state, ()
    oldest = min(state.episodes, key=lambda episode: (episode.active, episode.opened_us))
    kept = tuple(episode for episode in state.episodes if episode is not oldest)
    return replace(state, episodes=kept), (oldest,) if oldest.active else ()


def _covers(episode: Episode, end_us: int, span: int, cooldown: int) -> bool:
    near_opening = abs(end_us - episode.opened_us) < cooldown
    return near_opening or episode.first_us - span < end_us < episode.last_us + span


def _extended(episode: Episode, end_us: int) -> Episode:
    """The alert with the breach; once resolved it stays so, and remembers that the breach was held back."""
    if not episode.active:
        return replace(episode, held=episode.held or end_us > episode.last_us)
    return replace(episode, first_us=min(episode.first_us, end_us), last_us=max(episode.last_us, end_us))


def _put(state: SeriesState, at: int, episode: Episode) -> SeriesState:
    return replace(state, episodes=(*state.episodes[:at], episode, *state.episodes[at + 1 :]))
