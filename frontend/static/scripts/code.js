// Code in rendered text: keywords, strings and comments get classes. The library is loaded only where code names its
// language; until it is there, and without it, the code is plain.

const MOST_CHARACTERS = 20_000; // of one block
const library = document.querySelector("script[data-highlighter]")?.dataset.highlighter;

/** Mark the code below `root` that is not marked yet. */
export async function markCode(root) {
  const blocks = [...root.querySelectorAll("pre > code[data-language]:not([data-marked])")];
  if (!library || !blocks.length) return;
  for (const block of blocks) block.dataset.marked = "";
  const { default: highlighter } = await import(library);
  for (const block of blocks) {
    const { language } = block.dataset;
    const code = block.textContent;
    if (!highlighter.getLanguage(language) || code.length > MOST_CHARACTERS) continue;
    block.innerHTML = highlighter.highlight(code, { language, ignoreIllegals: true }).value; // it escapes the text
  }
}
