// How alike two answers are, and which words they share. Works on the words that a page shows, not on its markup.

const MOST_CELLS = 4_000_000; // of the table of the longest common sequence: two answers of 2,000 words

/** The words of an element, each with the text node and the place where it stands. */
export function wordsOf(element) {
  const words = [];
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    for (const found of node.data.matchAll(/\S+/g)) {
      words.push({ text: found[0], node, start: found.index, end: found.index + found[0].length });
    }
  }
  return words;
}

/** From 0 to 1: twice the neighbouring pairs of words that both have, by the pairs that there are (Dice). */
export function likeness(one, other) {
  const pairs = (words) => words.slice(1).map((word, index) => `${words[index].text} ${word.text}`);
  const [first, second] = [pairs(one), pairs(other)];
  if (!first.length || !second.length) return 0;
  const counts = new Map();
  for (const pair of first) counts.set(pair, (counts.get(pair) ?? 0) + 1);
  let both = 0;
  for (const pair of second) {
    const left = counts.get(pair) ?? 0;
    if (left) both += 1;
    if (left) counts.set(pair, left - 1);
  }
  return (2 * both) / (first.length + second.length);
}

/** Those of `words` that `model` has, too, in the same order: the longest common sequence. */
export function shared(model, words) {
  const [a, b] = [model.map((word) => word.text), words.map((word) => word.text)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const middle = between(a.slice(start, a.length - end), b.slice(start, b.length - end)).map((index) => words[start + index]);
  return [...words.slice(0, start), ...middle, ...words.slice(words.length - end)];
}

function between(a, b) {
  const width = b.length + 1;
  if ((a.length + 1) * width > MOST_CELLS) return [];
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const here = i * width + j;
      longest[here] = a[i] === b[j] ? longest[here + width + 1] + 1 : Math.max(longest[here + width], longest[here + 1]);
    }
  }
  const found = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      found.push(j);
      i += 1;
      j += 1;
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}
