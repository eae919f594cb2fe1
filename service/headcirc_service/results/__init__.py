"""Results that are kept, and the explanations made from them."""
