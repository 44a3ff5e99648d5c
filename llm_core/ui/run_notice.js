// "Tell me when it ends": asks for permission on the click, then asks how the run is until it has ended, whichever page of the tab is
// shown. The frame of every page loads it too, so that a reload goes on watching. Not here: messages while no tab is open (the webhook).

const ENDS = { finished: 'has finished', stopped: 'was stopped', failed: 'failed', diverged: 'diverged' };
const EVERY_MS = 4000;
const KEPT = 'glassbox-notice-';
// Lasts as long as the tab: the script is loaded anew with each page, and leaving Monitor must not end the watch.
const watched = (window.glassboxNotices ??= new Map());

function forget(id) {
  clearTimeout(watched.get(id));
  watched.delete(id);
  localStorage.removeItem(KEPT + id);
}

function watch(run) {
  if (watched.has(run.id)) return;
  localStorage.setItem(KEPT + run.id, run.name);
  watched.set(run.id, setTimeout(look, 0, run));
}

function goOn() {
  for (const [key, name] of Object.entries(localStorage)) if (key.startsWith(KEPT)) watch({ id: key.slice(KEPT.length), name });
}

// Browsers on phones let pages ask and then refuse to show anything: the title of the tab says it there.
function tell(title, body, tag) {
  try {
    new Notification(title, { body, tag }).onclick = () => window.focus();
  } catch {
    document.title = `● ${title}`;
  }
}

async function look(run) {
  // Another tab has told already, or was asked not to.
  if (!localStorage.getItem(KEPT + run.id)) return forget(run.id);
  try {
    const response = await fetch(`/api/runs/${encodeURIComponent(run.id)}/heartbeat`, { cache: 'no-store' });
    if (response.status === 404) return forget(run.id);
    const { state, reason } = response.ok ? await response.json() : {};
    if (!watched.has(run.id)) return;
    if (ENDS[state]) {
      forget(run.id);
      return tell(`${run.name} ${ENDS[state]}`, reason, run.id);
    }
  } catch {
    // The server is away for a moment: the run goes on without it, and so does the watch.
  }
  if (watched.has(run.id)) watched.set(run.id, setTimeout(look, EVERY_MS, run));
}

export default function ({ data, parentElement }) {
  const canTell = window.isSecureContext && 'Notification' in window;
  if (canTell && Notification.permission === 'granted') goOn();
  const [box, line] = ['input', 'small'].map((name) => parentElement.querySelector(name));
  if (!box) return;
  if (!canTell) {
    box.disabled = true;
    line.textContent = 'Notices need a secure address: https, or this machine itself.';
    return;
  }
  box.checked = watched.has(data.id);
  box.onchange = async () => {
    line.textContent = '';
    if (!box.checked) return forget(data.id);
    box.checked = (await Notification.requestPermission()) === 'granted';
    if (box.checked) watch(data);
    else line.textContent = 'The browser does not let this page send notices. Allow them beside the address.';
  };
}
