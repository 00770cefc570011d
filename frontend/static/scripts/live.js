// "Look again": a socket tells which topic changed, and parts of the page that show it fetch themselves again.
// Without a socket the page looks by itself every half minute.

const LOOK_EVERY_MS = 30_000;
const LONGEST_WAIT_MS = 60_000;

const { project, atWork } = document.querySelector("script[data-project]").dataset;
const place = atWork === undefined ? "" : "?at=work";
let socket = null;
let wait = 1000;

function lookAgain(topic) {
  const parts = topic ? `[data-topic~="${topic}"]` : "[data-topic]";
  for (const part of document.querySelectorAll(parts)) part.dispatchEvent(new CustomEvent("look-again"));
}

function listen() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/projects/${project}/${place}`);
  socket.onopen = () => {
    // Whatever was said while the page did not listen.
    if (wait > 1000) lookAgain();
    wait = 1000;
  };
  socket.onmessage = ({ data }) => lookAgain(JSON.parse(data).topic);
  socket.onclose = () => {
    setTimeout(listen, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  };
}

setInterval(() => {
  if (!document.hidden && socket.readyState !== WebSocket.OPEN) lookAgain();
}, LOOK_EVERY_MS);

listen();
