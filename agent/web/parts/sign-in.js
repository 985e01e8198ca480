// The token of the local API, asked for once in a tab.

import { Component, html } from "/app/parts/html.js";
import { Problems } from "/app/parts/problems.js";

export class SignIn extends Component {
  componentDidMount() {
    this.base.querySelector("#token").focus();
  }

  open(event) {
    event.preventDefault();
    this.props.open(event.target.elements.token.value);
  }

  render({ why }) {
    return html`<main id="main" class="sign-in"><section class="card" aria-label="Sign in"><h1>Chat on this device</h1>
      <form onsubmit=${(event) => this.open(event)}>
        <label class="field"><span>Token of the local API. It stays in this tab until it is closed.</span>
          <input name="token" id="token" type="password" autocomplete="off" required /></label>
        <${Problems} problem=${why} />
        <button type="submit" class="primary">Open</button></form>
      <p class="soft">It stands in the file that <code>token_file</code> or <code>--token-file</code> names.</p></section></main>`;
  }
}
