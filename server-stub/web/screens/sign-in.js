// An identity provider or an access token opens the page, for this tab.

import { leave, provider } from "/app/data/login.js";
import { Component, html } from "/app/parts/html.js";

export class SignIn extends Component {
  componentDidMount() {
    this.base.querySelector?.("#token")?.focus();
    provider().then(({ name }) => this.setState({ name })).catch(() => {});
  }

  leave() {
    leave().catch((problem) => this.setState({ why: problem.message }));
  }

  async open(event) {
    event.preventDefault();
    try {
      await this.props.open(event.target.elements.token.value);
    } catch (problem) {
      this.setState({ why: problem.message });
    }
  }

  render({ why }, state) {
    return html`<main id="main"><h1>Flotilla</h1><section class="card c6" aria-label="Sign in"><h2>Sign in</h2>
      ${state.name ? html`<p><button type="button" class="primary" id="provider" onclick=${() => this.leave()}>Sign in with ${state.name}</button></p>
        <p class="soft">Or with a token, as that of a local user:</p>` : null}
      <form onsubmit=${(event) => this.open(event)}>
        <label class="field"><span>Paste an access token. It stays in this tab until it is closed.</span>
          <input name="token" id="token" type="password" autocomplete="off" required placeholder="flt_pat_…" /></label>
        ${state.why || why ? html`<p class="error" role="alert">${state.why || why}</p>` : null}
        <button type="submit" class=${state.name ? "" : "primary"}>Open</button></form>
      <p class="soft">Make one: <code>flotilla token create --kind access --role operator</code></p></section></main>`;
  }
}
