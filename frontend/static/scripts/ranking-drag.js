// Ranking by mouse and finger. SortableJS moves the card; where it was dropped becomes a change of the order.

/* global Sortable */

export function makeDraggable(ranking) {
  const { section, order } = ranking;
  let lists = [];

  const options = {
    group: "answers",
    handle: ".grip",
    draggable: ".answer",
    // Its own ghost instead of the browser's: the same for mouse and finger, and it may be small.
    forceFallback: true,
    fallbackOnBody: true,
    fallbackTolerance: 4,
    emptyInsertThreshold: 12,
    swapThreshold: 0.8,
    invertedSwapThreshold: 1, // from another list, no dead zone in the middle of a card: held anywhere on it, it ties
    animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
    scroll: true,
    scrollSensitivity: 80,
    onStart: () => section.classList.add("is-dragging"),
    onEnd: ({ item, to }) => {
      section.classList.remove("is-dragging");
      const id = Number(item.dataset.id);
      // SortableJS is not done with its lists yet, and a change makes new ones.
      queueMicrotask(() => ranking.dropped(change(id, to), id));
    },
  };

  function change(id, list) {
    if (list === ranking.waiting) return order.takeOut(id);
    const position = Number(list.dataset.position);
    return list.classList.contains("gap") ? order.insertAt(id, position) : order.joinAt(id, position);
  }

  function stop() {
    for (const list of lists) list.destroy();
    lists = [];
  }

  function refresh() {
    stop();
    if (ranking.reading.isColumns) return; // there they stay in place
    const places = [ranking.waiting, ...ranking.placed.querySelectorAll(".gap, .tier-answers")];
    // Only tiers and gaps have an order; the shown order of what waits stays.
    lists = places.map((place) => new Sortable(place, { ...options, sort: false }));
  }

  return { refresh, stop };
}
