"""What the policy gradient methods PPO and RLOO are made of."""
